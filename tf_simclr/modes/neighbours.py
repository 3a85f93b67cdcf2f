"""`neighbours.png`: given images, and those of a split most similar to them."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.augment.policy import evaluation_image
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.decode import decode_for_view
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.look import what_is_wrong
from tf_simclr.data.transcode import plain_bytes
from tf_simclr.drawing import drawing
from tf_simclr.errors import UserError
from tf_simclr.evaluation.feature_file import MostSimilar, draw_neighbours
from tf_simclr.files import replacing

NEIGHBOURS_FILE = "neighbours.png"
_COUNT = 8
# Rows of one picture.
_MAX_QUERIES = 50


class Neighbours:
    """Looks for the neighbours of given images while features stream by.

    Args:
      text: ids of `images`, or image files, separated by commas.
      images: where the neighbours are looked for.
      find: from views (Q, S, S, 3) and the place of each among `images`, -1
        for none, to features (Q, d).
      image_size: side of the evaluation view.

    Raises:
      UserError: something in `text` is neither an id nor an image.
    """

    def __init__(
        self,
        text: str,
        images: ImageSet,
        find: Callable[[np.ndarray, Sequence[int]], np.ndarray],
        image_size: int,
    ):
        self._images = images
        self._image_size = image_size
        positions = {name: index for index, name in enumerate(images.ids)}
        # A name may itself hold a comma.
        given = [text] if text in positions or os.path.exists(text) else []
        names = given or [part.strip() for part in text.split(",")]
        if len(names) > _MAX_QUERIES:
            raise UserError(
                f"--neighbours_of shows at most {_MAX_QUERIES} images."
                f" Received: {len(names)}"
            )
        own = [positions.get(name, -1) for name in names]
        self._captions = [
            self._caption(index) if index >= 0 else os.path.basename(name)
            for name, index in zip(names, own, strict=True)
        ]
        self._views = np.concatenate(
            [
                self._views_of([index])
                if index >= 0
                else _view_of_file(name, image_size, images)
                for name, index in zip(names, own, strict=True)
            ]
        )
        found = find(self._views, own)
        self._search = MostSimilar(found, own, min(_COUNT, len(images)))

    def add(self, start: int, features: np.ndarray) -> None:
        """Looks at the features (n, d) of images start ... start + n - 1."""
        self._search.add(start, features)

    def write(self, folder: str) -> str:
        """Writes `neighbours.png`; returns its path."""
        path = os.path.join(folder, NEIGHBOURS_FILE)
        indices, similarities = self._search.indices, self._search.similarities
        wanted, places = np.unique(indices, return_inverse=True)
        views = self._views_of(wanted)
        places = places.reshape(indices.shape)
        neighbours = [
            [
                (views[place], f"{self._caption(index)}\n{similarity:.3f}")
                for place, index, similarity in zip(*row, strict=True)
                if np.isfinite(similarity)
            ]
            for row in zip(places, indices, similarities, strict=True)
        ]
        queries = list(zip(self._views, self._captions, strict=True))
        with drawing(path), replacing(path) as temporary:
            draw_neighbours(temporary, queries, neighbours)
        return path

    def _caption(self, index: int) -> str:
        """The class of an image, or its id where it has none."""
        label = self._images.labels[index]
        if label >= 0:
            return self._images.class_names[label]
        return os.path.basename(self._images.ids[index])

    def _views_of(self, indices: np.ndarray | list[int]) -> np.ndarray:
        chosen = self._images.take(np.asarray(indices))
        batches = evaluation_batches(chosen, len(chosen), self._image_size)
        return next(iter(batches))["image"].numpy()


def _view_of_file(path: str, image_size: int, images: ImageSet) -> np.ndarray:
    """The evaluation view (1, S, S, 3) of an image file."""
    try:
        with open(path, "rb") as file:
            encoded = file.read()
    except OSError as error:
        raise UserError(
            "--neighbours_of takes ids of features.npz and image files."
            f" Received: {path}"
        ) from error
    problem = what_is_wrong(encoded)
    if problem:
        raise UserError(f"--neighbours_of: {path} {problem}.")
    encoded = tf.constant(plain_bytes(encoded))
    image = decode_for_view(
        encoded, images.pixels.how, images.framing, image_size
    )
    view = evaluation_image(image, image_size, images.framing)
    return view[tf.newaxis].numpy()
