"""Unlabelled images that join the training images of another data set."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    Pixels,
    RecordPixels,
)
from tf_simclr.errors import UserError

# In front of the ids of images that joined.
PREFIX = "unlabeled_dataset/"


def join_unlabelled(images: ImageSet, more: Iterable[ImageSet]) -> ImageSet:
    """`images`, followed by all of `more` without labels.

    Raises:
      UserError: one lies in memory and the other in files, or the sizes of
        images in memory differ.
    """
    more = list(more)
    prefix, taken = PREFIX, set(images.ids)
    while any(prefix + name in taken for extra in more for name in extra.ids):
        # A folder of the data set itself has this name.
        prefix += PREFIX
    for extra in more:
        images = dataclasses.replace(
            images,
            pixels=_join(images.pixels, extra.pixels),
            labels=np.concatenate(
                [images.labels, np.full(len(extra), UNLABELLED, np.int32)]
            ),
            ids=(*images.ids, *(prefix + name for name in extra.ids)),
        )
    return images


def _join(first: Pixels, second: Pixels) -> Pixels:
    match first, second:
        case ArrayPixels(), ArrayPixels() if first.size == second.size:
            return ArrayPixels(np.concatenate([first.array, second.array]))
        case ArrayPixels(), ArrayPixels():
            raise UserError(
                "--dataset and --unlabeled_dataset hold images of different"
                f" sizes (height, width): {first.size} and {second.size}."
            )
        case FilePixels(), FilePixels():
            paths = (second.path(index) for index in range(len(second)))
            return FilePixels(first.root, (*first.names, *paths))
        case RecordPixels(), RecordPixels() if first.feature == second.feature:
            return RecordPixels(
                first.shards + second.shards,
                np.concatenate([first.shard, second.shard + len(first.shards)]),
                np.concatenate([first.offset, second.offset]),
                np.concatenate([first.length, second.length]),
                first.feature,
            )
    raise UserError(
        "--dataset and --unlabeled_dataset must both be folders or lists of"
        " image files, or both TFRecord shards, or both be held in memory"
        " (.npz, IDX files, digits)."
    )
