"""Datasets of the TensorFlow Datasets catalogue."""

import socket
from collections.abc import Collection

import numpy as np

from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    to_rgb_bytes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError


def load_tfds(
    name: str, data_dir: str | None, splits: Collection[str]
) -> dict[str, ImageSet]:
    """Reads splits of a dataset, in their stored order.

    A dataset that is not on disk is downloaded and prepared first. Its images
    must be of one size.

    Args:
      name: the dataset's name in the catalogue, such as `cifar10`.
      data_dir: where datasets are stored; None for the usual place.
      splits: names of the splits to read; those that do not exist are left
        out, and `validation` brings `test` along where it does not exist.

    Raises:
      UserError: an unknown name, a failed download, images of several sizes.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(
            f"--dataset={name} is neither 'digits', nor an .npz"
            " file, nor a name that TensorFlow Datasets knows (its catalogue"
            " lists them)."
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
    wanted = set(splits)
    if "validation" in wanted and "validation" not in builder.info.splits:
        wanted.add("test")
    return {
        split: _read(builder, split)
        for split in builder.info.splits
        if split in wanted
    }


def _check_network() -> None:
    """Fails at once where no name can be resolved; the downloads themselves
    try again for minutes.

    Raises:
      OSError: there is no network.
    """
    # Where TensorFlow Datasets looks for prepared data first.
    socket.getaddrinfo("storage.googleapis.com", 443)


def _read(builder, split: str) -> ImageSet:
    features = builder.info.features
    if "image" not in features:
        raise UserError(
            f"--dataset={builder.name} has no feature 'image'. Received:"
            f" {', '.join(features)}"
        )
    shape = features["image"].shape
    if None in shape:
        raise UserError(
            f"--dataset={builder.name} holds images of several sizes"
            f" {shape}; only datasets whose images are all of one size are"
            " read."
        )
    keys = ["image"] + (["label"] if "label" in features else [])
    dataset = builder.as_dataset(split=split, shuffle_files=False)
    dataset = dataset.map(lambda example: {k: example[k] for k in keys})
    count = builder.info.splits[split].num_examples
    images = np.empty((count, *shape), np.uint8)
    labels = np.full(count, UNLABELLED, np.int32)
    for index, example in enumerate(dataset.as_numpy_iterator()):
        images[index] = example["image"]
        labels[index] = example.get("label", UNLABELLED)
    names = tuple(features["label"].names) if "label" in features else ()
    return ImageSet(
        name=split,
        pixels=ArrayPixels(to_rgb_bytes(images, f"--dataset={builder.name}")),
        labels=labels,
        class_names=names,
        ids=tuple(f"{builder.name}/{split}/{i}" for i in range(count)),
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
