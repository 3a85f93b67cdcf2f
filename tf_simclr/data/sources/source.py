"""A data set as it was found: all its splits, and what was noticed."""

import collections
import dataclasses
import os
from collections.abc import Mapping

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError, at_most

# (modification time in ns, size in bytes); (-1, -1) where nothing is.
Stamp = tuple[int, int]

# Ids in a message; the rest is counted.
_SHOWN = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """What `--dataset` holds.

    Attributes:
      splits: {name: images}; ids are unique over all splits.
      notices: what the user should know about what was found.
      stamps: {path: stamp} of the folders and files that it was listed from;
        empty where it was not listed.
      bad: {id: what is wrong} of images that cannot be read.
      scanned: whether every image has been looked at, or need not be.

    Raises:
      UserError: two images have one id.
    """

    splits: Mapping[str, ImageSet]
    notices: tuple[str, ...] = ()
    stamps: Mapping[str, Stamp] = dataclasses.field(default_factory=dict)
    bad: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scanned: bool = False

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
        """Whether the images themselves are, not only where they lie."""
        return any(
            isinstance(images.pixels, ArrayPixels)
            for images in self.splits.values()
        )

    def is_fresh(self) -> bool:
        """Whether nothing that it was listed from has changed since."""
        return all(stamp(path) == old for path, old in self.stamps.items())


def stamp(path: str) -> Stamp:
    """What tells a changed file or folder from an unchanged one.

    A folder changes when entries come or go, not when a file in it is
    written to.
    """
    try:
        found = os.stat(path)
    except OSError:
        return (-1, -1)
    return (found.st_mtime_ns, found.st_size)
