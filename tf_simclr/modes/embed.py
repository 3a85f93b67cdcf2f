"""Writing and showing the features of a split."""

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.class_mapping import map_classes
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_images
from tf_simclr.drawing import drawing
from tf_simclr.errors import UserError
from tf_simclr.evaluation.embedding_map import (
    MAX_POINTS,
    check_method,
    draw_map,
    thumbnail_size,
    thumbnails,
    write_projector,
)
from tf_simclr.evaluation.embeddings import MIN_POINTS, two_dimensions
from tf_simclr.evaluation.feature_file import FeatureFile, features_of
from tf_simclr.evaluation.predict import Predictor
from tf_simclr.files import replacing
from tf_simclr.modes.loaded import LoadedNetwork, load_network
from tf_simclr.modes.neighbours import Neighbours
from tf_simclr.modes.prepare import index_folders, say_notices
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.progress import say
from tf_simclr.training.run_dir import check_writable

FEATURES_FILE = "features.npz"
MAP_FILE = "map.png"


def embed(config: Config) -> str:
    """Writes `features.npz` of `--embed_split` to `model_dir`, and shows them.

    It holds `ids`, `features` (pooled encoder output), `projection` (last
    head layer), `labels` (-1 where unknown) and, with a classifier,
    `logits`, in dataset order. Beside it go TensorBoard's projector,
    `map.png` (--map) and `neighbours.png` (--neighbours_of). Memory does not
    grow with the number of images but for their ids.

    With `--features` these pictures are of the features there, and no other
    file is written.

    Returns:
      The path of the features.
    """
    model_dir = config.run.model_dir
    check_writable(model_dir)
    check_method(config.output.map)
    if config.labels.features:
        return _show_given(config)
    loaded = load_network(config)
    data = loaded.config.data
    check_stored_images(loaded.config, loaded.stored)
    images, notices = open_images(
        data, data.embed_split, index_folders(loaded.config)
    )
    say_notices(loaded.config, notices)
    size = loaded.image_size(images)
    names = ["features"]
    if loaded.network.architecture.kept_head_layers:
        names.append("projection")
    if loaded.network.classifier is not None:
        names.append("logits")
        images = _with_classes_of_logits(images, loaded)
    predict = Predictor(
        loaded.network,
        names,
        image_size=size,
        batch_size=data.eval_batch_size,
    )
    neighbours = None
    if config.output.neighbours_of:

        def find(views: np.ndarray, places: Sequence[int]) -> np.ndarray:
            return predict.run(tf.constant(views))["features"].numpy()

        neighbours = Neighbours(config.output.neighbours_of, images, find, size)
    os.makedirs(model_dir, exist_ok=True)
    path = os.path.join(model_dir, FEATURES_FILE)
    sample = _Sample(images, size)
    id_type = f"U{max(map(len, images.ids))}"
    start = 0
    with replacing(path) as temporary:
        file = FeatureFile(os.path.dirname(temporary), len(images))
        for views, found in predict.stream(images):
            stop = start + len(found["label"])
            file.append(
                {
                    "ids": np.array(images.ids[start:stop], id_type),
                    "labels": found["label"],
                    **{name: found[name] for name in names},
                }
            )
            features = found["features"]
            sample.add(start, views, features)
            if neighbours is not None:
                neighbours.add(start, features)
            start = stop
        file.pack(temporary)
    say(f"{path}: {len(images)} images, {features.shape[1]}-d")
    _show(config, sample, neighbours, _title(loaded, images))
    return path


def _show(
    config: Config,
    sample: "_Sample",
    neighbours: Neighbours | None,
    title: str,
) -> None:
    """Writes projector, map and neighbours."""
    model_dir = config.run.model_dir
    sample.write_projector(model_dir)
    say(f"Projector: tensorboard --logdir={model_dir}")
    if config.output.map != "none":
        sample.write_map(model_dir, config.output.map, title)
    if neighbours is not None:
        say(neighbours.write(model_dir))


def _show_given(config: Config) -> str:
    """Shows the features of a file."""
    data, path = config.data, config.labels.features
    images, notices = open_images(data, data.embed_split, index_folders(config))
    say_notices(config, notices)
    features = features_of(path, images.ids)

    def find(views: np.ndarray, places: Sequence[int]) -> np.ndarray:
        if min(places) < 0:
            raise UserError(
                f"--neighbours_of with --features={path} takes ids of images"
                " there: a file of one's own has no features."
            )
        return np.asarray(features[places])

    size, text = data.image_size, config.output.neighbours_of
    neighbours = Neighbours(text, images, find, size) if text else None
    os.makedirs(config.run.model_dir, exist_ok=True)
    sample, start = _Sample(images, size), 0
    for batch in evaluation_batches(images, data.eval_batch_size, size):
        stop = start + len(batch["label"])
        part = np.asarray(features[start:stop], np.float32)
        sample.add(start, batch["image"], part)
        if neighbours is not None:
            neighbours.add(start, part)
        start = stop
    name = os.path.basename(data.dataset.rstrip("/"))
    title = f"{os.path.basename(path)}: {name}, {images.name}"
    _show(config, sample, neighbours, title)
    return path


def _with_classes_of_logits(
    images: ImageSet, loaded: LoadedNetwork
) -> ImageSet:
    """The images with labels that number the classes as the logits do.

    Other classes are no mistake here: then the labels keep the numbers of
    their own data set.
    """
    dataset = loaded.config.data.dataset
    try:
        mapping = map_classes([images], loaded.stored.classes, dataset)
    except UserError:
        say(
            f"{dataset}: labels keep the numbers of this data set, whose"
            f" classes are not those of {loaded.stored.path}, and of `logits`"
        )
        return images
    for notice in mapping.notices:
        say(f"{dataset}: {notice}")
    return mapping.images(images)


def _title(loaded: LoadedNetwork, images: ImageSet) -> str:
    name = os.path.basename(loaded.config.data.dataset.rstrip("/"))
    stage = loaded.stored.stage or loaded.stored.kind
    return f"{stage}, step {loaded.stored.step}: {name}, {images.name}"


class _Sample:
    """The images that are shown: all, or as many, evenly from all of them."""

    def __init__(self, images: ImageSet, image_size: int):
        count = min(len(images), MAX_POINTS)
        self._indices = np.linspace(0, len(images) - 1, count).astype(int)
        self._images = images
        self._side = thumbnail_size(count, image_size)
        self._features: list[np.ndarray] = []
        self._pictures: list[np.ndarray] = []

    def add(self, start: int, views: tf.Tensor, features: np.ndarray) -> None:
        """Takes what is shown of the images start ... start + n - 1."""
        first, last = np.searchsorted(
            self._indices, [start, start + len(features)]
        )
        rows = self._indices[first:last] - start
        if len(rows):
            shown = tf.gather(views, rows)
            self._features.append(features[rows])
            self._pictures.append(thumbnails(shown, self._side))

    def write_projector(self, folder: str) -> None:
        """Writes the files of TensorBoard's projector."""
        names = self._images.class_names
        write_projector(
            folder,
            np.concatenate(self._features),
            np.concatenate(self._pictures),
            [self._images.ids[index] for index in self._indices],
            [
                names[label] if label >= 0 else "no label"
                for label in self._images.labels[self._indices]
            ],
        )

    def write_map(self, folder: str, method: str, title: str) -> None:
        """Writes `map.png`, and the map as a TensorBoard image, which also
        makes the folder a run that TensorBoard finds."""
        if len(self._indices) < MIN_POINTS:
            say(f"No map: {len(self._indices)} images span no plane.")
            return
        path = os.path.join(folder, MAP_FILE)
        points = two_dimensions(np.concatenate(self._features), method)
        with drawing(path), replacing(path) as temporary:
            draw_map(
                temporary,
                points,
                self._images.labels[self._indices],
                self._images.class_names,
                title,
                method,
            )
        if not os.path.exists(path):
            return
        picture = tf.io.decode_png(tf.io.read_file(path), channels=3)
        writer = tf.summary.create_file_writer(folder)
        with writer.as_default(step=0):
            tf.summary.image("embed/map", picture[tf.newaxis])
        writer.close()
        say(f"{path}: {len(points)} images")
