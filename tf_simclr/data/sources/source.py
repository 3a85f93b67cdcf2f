"""A data set as it was found: all its splits, and what was noticed."""

import collections
import dataclasses
import os
from collections.abc import Mapping

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import UserError, at_most

# (modification time in ns, size in bytes); (-1, -1) where nothing is.
Stamp = tuple[int, int]

# Ids in a message; the rest is counted.
_SHOWN = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """A data set: its splits, classes and notices.

    Attributes:
      splits: {name: images}; ids are unique over all splits.
      notices: what the user should know about what was found.
      stamps: {absolute path: stamp} of the folders and files that it was
        listed from. Without any, it gets no index: every process lists it.
      bad: {id: what is wrong} of images that cannot be read.
      scanned: whether every image file has been looked at, or need not be.
      survey: what was seen then.

    Raises:
      UserError: two images have one id.
    """

    splits: Mapping[str, ImageSet]
    notices: tuple[str, ...] = ()
    stamps: Mapping[str, Stamp] = dataclasses.field(default_factory=dict)
    bad: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scanned: bool = False
    survey: Survey = Survey()

    def __post_init__(self) -> None:
        # Labels, cuts and lists of bad images all go by the id.
        ids = [name for images in self.splits.values() for name in images.ids]
        if len(set(ids)) == len(ids):
            return
        counts = collections.Counter(ids)
        twice = [f"'{name}'" for name, count in counts.items() if count > 1]
        raise UserError(
            "The dataset has several images of one id, by which labels are"
            " chosen: give every image, and every file of images, a name of"
            f" its own. Received: {at_most(_SHOWN, twice)}"
        )

    def __len__(self) -> int:
        return sum(len(images) for images in self.splits.values())

    @property
    def in_memory(self) -> bool:
        """True if the source holds the images themselves, not only their
        places."""
        return any(
            isinstance(images.pixels, ArrayPixels)
            for images in self.splits.values()
        )

    @property
    def hashed(self) -> bool:
        """True if all images outside of memory have perceptual hashes."""
        return all(
            images.hashes is not None or isinstance(images.pixels, ArrayPixels)
            for images in self.splits.values()
        )

    def is_fresh(self) -> bool:
        """True if none of the files that it was listed from has changed
        since."""
        return all(stamp(path) == old for path, old in self.stamps.items())


def check_source(source: Source, name: str) -> None:
    """Refuses what is no source, or whose parts do not fit together.

    Args:
      source: what was opened.
      name: what `--dataset` holds, for error messages.

    Raises:
      UserError: names the split, and what is wrong with it.
    """
    if not isinstance(source, Source):
        raise UserError(
            f"--dataset={name} must return a"
            " tf_simclr.data.sources.source.Source. Received:"
            f" {type(source).__name__}"
        )
    for split, images in source.splits.items():
        where = f"The split '{split}' of --dataset={name}"
        if images.name != split:
            raise UserError(
                f"{where} must go by that name itself. Received: {images.name}"
            )
        counts = (len(images.pixels), len(images.labels), len(images.ids))
        if len(set(counts)) > 1:
            raise UserError(
                f"{where} must have one label and one id for each of its"
                f" {counts[0]} images. Received: {counts[1]} labels and"
                f" {counts[2]} ids"
            )
        _check_labels(images, where)
        _check_pixels(images, where)


def _check_labels(images: ImageSet, where: str) -> None:
    labels, classes = np.asarray(images.labels), len(images.class_names)
    if (
        labels.dtype != np.int32
        or labels.ndim != 1
        or np.any((labels < UNLABELLED) | (labels >= classes))
    ):
        found = f"{labels.dtype} of shape {labels.shape}"
        if labels.size:
            found += f", from {labels.min()} to {labels.max()}"
        raise UserError(
            f"{where} names {classes} classes and must have int32 labels of"
            f" shape (N,), from 0 to below {classes}, or {UNLABELLED} for none."
            f" Received: {found}"
        )


def _check_pixels(images: ImageSet, where: str) -> None:
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        array = pixels.array
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
            raise UserError(
                f"{where} must hold uint8 images of shape (N, height, width,"
                f" 3). Received: {array.dtype} of shape {array.shape}"
            )
    elif isinstance(pixels, FilePixels):
        relative = len(pixels) and not os.path.isabs(pixels.path(0))
        if relative:
            raise UserError(
                f"{where} must name its files by absolute paths. Received:"
                f" {pixels.path(0)}"
            )


def stamp(path: str) -> Stamp:
    """A value that differs between a changed and an unchanged file or folder.

    A folder changes when entries come or go, not when a file in it is
    written to.
    """
    try:
        found = os.stat(path)
    except OSError:
        return (-1, -1)
    return (found.st_mtime_ns, found.st_size)
