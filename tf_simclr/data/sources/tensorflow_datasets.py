"""Datasets of the TensorFlow Datasets catalogue."""

import dataclasses
import math
import socket
from collections.abc import Collection

import numpy as np

from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    to_rgb_bytes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.records import read_examples, shard_names
from tf_simclr.data.sources.registry import EMBEDDED
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.errors import UserError
from tf_simclr.similar_names import path_meant

# More bytes of images than this are left on disk.
_IN_MEMORY = 2**32


def load_tfds(
    name: str, data_dir: str | None, splits: Collection[str]
) -> Source:
    """Opens splits of a dataset.

    A dataset that is not on disk is downloaded and prepared first. Images of
    one size are held in memory, in their stored order; others, and those too
    many to hold, are read from the prepared TFRecord shards.

    Args:
      name: the dataset's name in the catalogue, such as `cifar10`.
      data_dir: where datasets are stored; None for the usual place.
      splits: names of the splits to read; those that do not exist are left
        out, and `validation` brings `test` along where it does not exist.

    Raises:
      UserError: an unknown name, a failed download, data without images.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(
            f"--dataset={name} is neither 'digits', nor a file or folder, nor"
            " a name that TensorFlow Datasets knows (its catalogue lists"
            f" them).{path_meant(name, EMBEDDED)}"
        ) from error
    try:
        if (
            not builder.is_prepared()
            and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        ):
            _check_network()
        builder.download_and_prepare()
    except Exception as error:
        raise UserError(
            f"--dataset={name} is not on disk"
            f" ({builder.data_dir}) and could not be downloaded: prepare it"
            " where there is a network and name its folder with --data_dir."
            f" Received: {_first_line(error)}"
        ) from error
    features = builder.info.features
    if "image" not in features or features["image"].dtype != np.uint8:
        raise UserError(
            f"--dataset={name} has no feature 'image' of bytes. Received:"
            f" {', '.join(features)}"
        )
    wanted = set(splits)
    if "validation" in wanted and "validation" not in builder.info.splits:
        wanted.add("test")
    names = [split for split in builder.info.splits if split in wanted]
    label, notices = _label_feature(builder)
    if _fits_memory(builder, names):
        found = {split: _read(builder, split, label) for split in names}
        source = Source(found, scanned=True)
    else:
        source = _list_shards(builder, names, label)
    return dataclasses.replace(source, notices=tuple(notices))


def in_catalogue(name: str, data_dir: str | None) -> bool:
    """True if TensorFlow Datasets knows a data set of this name."""
    import tensorflow_datasets as tfds

    try:
        tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError):
        return False
    return True


def _check_network() -> None:
    """Fails at once where no name can be resolved; the downloads themselves
    try again for minutes.

    Raises:
      OSError: there is no network.
    """
    # Where TensorFlow Datasets looks for prepared data first.
    socket.getaddrinfo("storage.googleapis.com", 443)


def _fits_memory(builder, splits: Collection[str]) -> bool:
    shape = builder.info.features["image"].shape
    if None in shape:
        return False
    count = sum(builder.info.splits[split].num_examples for split in splits)
    return count * math.prod(shape) <= _IN_MEMORY


def _label_feature(builder) -> tuple[str | None, list[str]]:
    """The feature that holds the class of an image, and what to say of it.

    Raises:
      UserError: `label` is something else than one class.
    """
    import tensorflow_datasets as tfds

    features = builder.info.features
    classes = [
        name
        for name, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    ]
    if "label" in classes:
        return "label", []
    if "label" in features:
        kind = type(features["label"]).__name__
        raise UserError(
            f"--dataset={builder.name} must have one class for each image in"
            f" its feature 'label', a ClassLabel. Received: {kind}"
        )
    if len(classes) == 1:
        return classes[0], [f"the feature '{classes[0]}' is taken as the label"]
    listed = ", ".join(features)
    return None, [f"there is no feature 'label', and so no label: {listed}"]


def _read(builder, split: str, label: str | None) -> ImageSet:
    """A split whose images, all of one size, are held in memory."""
    features = builder.info.features
    shape = features["image"].shape
    keys = ["image"] + ([label] if label else [])
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    dataset = dataset.map(lambda example: {k: example[k] for k in keys})
    count = builder.info.splits[split].num_examples
    images = np.empty((count, *shape), np.uint8)
    labels = np.full(count, UNLABELLED, np.int32)
    for index, example in enumerate(dataset.as_numpy_iterator()):
        images[index] = example["image"]
        labels[index] = example.get(label, UNLABELLED)
    return ImageSet(
        name=split,
        pixels=ArrayPixels(to_rgb_bytes(images, f"--dataset={builder.name}")),
        labels=labels,
        class_names=_class_names(builder, label),
        ids=tuple(f"{builder.name}/{split}/{i}" for i in range(count)),
    )


def _list_shards(builder, splits: Collection[str], label: str | None) -> Source:
    """Splits whose images are read from their shards."""
    import tensorflow_datasets as tfds

    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"--dataset={builder.name} is stored as"
            f" {builder.info.file_format.value}, which is not read for images"
            " of several sizes: prepare it as tfrecord. Received:"
            f" {builder.data_dir}"
        )
    shards = {
        split: [str(path) for path in builder.info.splits[split].filepaths]
        for split in splits
    }
    names = shard_names([path for paths in shards.values() for path in paths])
    found, stamps = {}, {}
    for split, paths in shards.items():
        stamps |= {path: stamp(path) for path in paths}
        examples = read_examples(paths, "image", label or "", "", names)
        found[split] = ImageSet(
            name=split,
            pixels=examples.pixels,
            labels=examples.labels,
            class_names=_class_names(builder, label),
            ids=examples.ids,
        )
    # Whoever prepared it has decoded every image.
    return Source(found, stamps=stamps, scanned=True)


def _class_names(builder, label: str | None) -> tuple[str, ...]:
    return tuple(builder.info.features[label].names) if label else ()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
