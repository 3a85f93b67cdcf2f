"""A NumPy archive in Keras's convention: x_train, y_train, x_test, y_test."""

import pathlib
import zipfile

import numpy as np

from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    to_rgb_bytes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.errors import UserError


def load_npz(path: str) -> Source:
    """Reads the splits of an archive; labels and the test part are optional.

    Images are uint8, or floats in [0, 1]; labels are integers from 0, or -1
    for an image without one.

    Raises:
      UserError: the file is unreadable or its arrays do not fit together.
    """
    stamps = {path: stamp(path)}
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise UserError(
            f"{path} cannot be read as a NumPy archive (.npz): {error}"
        ) from error
    if not {"x_train", "x_test"} & arrays.keys():
        raise UserError(
            f"{path} must hold an array x_train (and, where there are labels,"
            " y_train), or x_test to evaluate on. Received:"
            f" {', '.join(arrays) or 'no array'}"
        )
    arrays_of, labels = {}, {}
    for name in ("train", "test"):
        if f"x_{name}" not in arrays:
            continue
        images = to_rgb_bytes(arrays[f"x_{name}"], f"x_{name} of {path}")
        labels[name] = _labels(arrays, name, len(images), path)
        arrays_of[name] = images
    num_classes = 1 + max(int(values.max()) for values in labels.values())
    class_names = tuple(str(index) for index in range(num_classes))
    stem = pathlib.Path(path).stem
    splits = {
        name: ImageSet(
            name=name,
            pixels=ArrayPixels(images),
            labels=labels[name],
            class_names=class_names,
            ids=tuple(f"{stem}/{name}/{index}" for index in range(len(images))),
        )
        for name, images in arrays_of.items()
    }
    return Source(splits, stamps=stamps, scanned=True)


def _labels(
    arrays: dict[str, np.ndarray], split: str, count: int, path: str
) -> np.ndarray:
    name = f"y_{split}"
    if name not in arrays:
        return np.full(count, UNLABELLED, np.int32)
    values = arrays[name]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,) or not np.issubdtype(values.dtype, np.integer):
        raise UserError(
            f"{name} of {path} must hold one integer label for each of the"
            f" {count} images. Received: {values.dtype} of shape"
            f" {tuple(values.shape)}"
        )
    if values.min() < UNLABELLED:
        raise UserError(
            f"{name} of {path} must hold labels from 0, or -1 for an image"
            f" without one. Received: {values.min()}"
        )
    return values.astype(np.int32)
