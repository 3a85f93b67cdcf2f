"""Images as a caller of the Python API hands them over."""

import os
from collections.abc import Iterable

import numpy as np

from tf_simclr.data.sources.folder import walk
from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    image_set_of_array,
)
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.errors import UserError

# A path of an image or of a folder of images, several paths of images, or an
# array.
Images = str | os.PathLike | Iterable[str | os.PathLike] | np.ndarray


def image_set_of(images: Images) -> ImageSet:
    """Images of any kind, without labels.

    Args:
      images: one of `Images`; an array is (N, H, W, 3) or (H, W, 3).

    Raises:
      UserError: there is no image, or an array has another shape or range.
    """
    if isinstance(images, str | os.PathLike):
        return _files(_paths(os.fspath(images)))
    if hasattr(images, "__array__"):
        return image_set_of_array(images)
    paths = list(images)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise UserError(
                "Images are paths or one array: put arrays of one size together"
                f" with numpy.stack. Received: {type(path).__name__}"
            )
    return _files([os.fspath(path) for path in paths])


def _paths(path: str) -> list[str]:
    """The images of a folder, or the path itself."""
    if not os.path.isdir(path):
        return [path]
    tree = walk(os.path.abspath(path))
    if not tree.images:
        raise UserError(tree.nothing_found())
    return [os.path.join(path, name) for name in tree.image_names()]


def _files(paths: list[str]) -> ImageSet:
    missing = [path for path in paths if not os.path.isfile(path)]
    if missing or not paths:
        raise UserError(
            "Images are files, folders of images or arrays. Received:"
            f" {missing[0] if missing else 'none'}"
        )
    labels = np.full(len(paths), UNLABELLED, np.int32)
    pixels = FilePixels("", tuple(paths))
    return ImageSet("images", pixels, labels, (), tuple(paths))
