"""Equal images of two sets, however they are reached; their overlap."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Hashable, Iterable, Iterator

import numpy as np

from tf_simclr.data.sources.image_set import PREFIX, UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    RecordPixels,
)


def same_images(
    first: ImageSet, second: ImageSet, *, by_id: bool = True
) -> np.ndarray:
    """Finds the pairs of positions that hold the same image.

    Image files are the same if their names lead to one file, through links or
    other spellings; examples in shards, if they lie at one place of one file.
    Images in memory have no place. They are the same by their ids within one
    data set, and by their pixels across data sets.

    Args:
      first, second: any images, as they were listed: not yet decoded.
      by_id: whether both are of one data set, which decides for images in
        memory. Images that joined from `--unlabeled_dataset` are not.

    Returns:
      int (K, 2), places in `first` and in `second`.
    """
    match first.pixels, second.pixels:
        case ArrayPixels(), ArrayPixels():
            return _same_arrays(first, second, by_id)
        case FilePixels(), FilePixels():
            return _same_files(first.pixels, second.pixels)
        case RecordPixels(), RecordPixels():
            return _pairs(_examples(first.pixels), _examples(second.pixels))
    return _pairs((), ())


def _pairs(first: Iterable[Hashable], second: Iterable[Hashable]) -> np.ndarray:
    places = collections.defaultdict(list)
    for index, key in enumerate(first):
        places[key].append(index)
    found = [
        (place, index)
        for index, key in enumerate(second)
        for place in places.get(key, ())
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def _same_arrays(first: ImageSet, second: ImageSet, by_id: bool) -> np.ndarray:
    joined = np.array([name.startswith(PREFIX) for name in second.ids], bool)
    unlike = joined if by_id else np.ones(len(second), bool)
    found = []
    if not unlike.all():
        found.append(_pairs(first.ids, second.ids))
    places = np.flatnonzero(unlike)
    if len(places) and first.pixels.size == second.pixels.size:
        pairs = _pairs(
            _digests(first.pixels.array, range(len(first))),
            _digests(second.pixels.array, places),
        )
        pairs[:, 1] = places[pairs[:, 1]]
        found.append(pairs)
    return np.concatenate([_pairs((), ()), *found])


def _digests(array: np.ndarray, places: Iterable[int]) -> Iterator[bytes]:
    for place in places:
        row = np.ascontiguousarray(array[place])
        yield hashlib.blake2b(row, digest_size=16).digest()


def _examples(pixels: RecordPixels) -> Iterator[tuple[Hashable, int]]:
    shards = [_inode(path) for path in pixels.shards]
    places = zip(pixels.shard.tolist(), pixels.offset.tolist(), strict=True)
    return ((shards[shard], offset) for shard, offset in places)


def _same_files(first: FilePixels, second: FilePixels) -> np.ndarray:
    paths = list(_resolved(first))
    inodes = [_inode(path) for path in paths]
    if any(links > 1 for *_, links in inodes):
        # A file of several names: names do not tell.
        return _pairs(inodes, (_inode(path) for path in _resolved(second)))
    return _pairs(paths, _resolved(second))


def _inode(path: str) -> tuple[Hashable, ...]:
    """(device, number, names) of a file; its path where it cannot be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return (path, 0, 0)
    return (found.st_dev, found.st_ino, found.st_nlink)


def _resolved(pixels: FilePixels) -> Iterator[str]:
    """The path of each file without links.

    Each folder is resolved and listed once: on a file server, to look at each
    file instead would cost a round trip for every image.
    """
    folders: dict[str, tuple[str, frozenset[str]]] = {}
    for name in pixels.names:
        cut = name.rfind(os.sep) + 1
        head, tail = name[:cut], name[cut:]
        if head not in folders:
            path = os.path.realpath(os.path.join(pixels.root, head))
            folders[head] = path, _links(path)
        folder, links = folders[head]
        path = f"{folder}{os.sep}{tail}"
        yield os.path.realpath(path) if tail in links else path


def _links(folder: str) -> frozenset[str]:
    """Names of the symbolic links in a folder; none if it has gone."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(e.name for e in entries if e.is_symlink())
    except OSError:
        return frozenset()


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Counts of the evaluation images that a network has seen.

    Attributes:
      evaluated: labelled evaluation images.
      trained: how many of them are training images, too.
      labelled: how many of those had their label in training.
    """

    evaluated: int
    trained: int
    labelled: int

    def notice(self) -> str:
        """Says what the score is of; '' where no image was seen before."""
        if not self.trained:
            return ""
        of_all = f"of the {self.evaluated:,} evaluation images"
        if not self.labelled:
            return (
                f"{self.trained:,} {of_all} are also among the training"
                " images, without their labels (transductive)"
            )
        more = self.trained - self.labelled
        return (
            f"{self.labelled:,} {of_all} were trained on with their labels"
            f"{f', {more:,} more without' if more else ''}: the score is not"
            " of unseen images"
        )

    def to_json(self) -> dict[str, int]:
        """Returns what `derived` of a run's `config.json` holds."""
        return dataclasses.asdict(self)


def find_overlap(
    evaluation: ImageSet | None, *training: ImageSet, by_id: bool = True
) -> Overlap | None:
    """Compares evaluation images with training images, which need not be read.

    Args:
      evaluation: the evaluation split; only its labelled images count.
      *training: training images, with labels only where they were trained on
        with them.
      by_id: as in `same_images`.

    Returns:
      None where there is nothing to score.
    """
    if evaluation is None or not evaluation.has_labels:
        return None
    scored = evaluation.take(np.flatnonzero(evaluation.labels != UNLABELLED))
    trained = np.zeros(len(scored), bool)
    labelled = np.zeros(len(scored), bool)
    for images in training:
        found = same_images(scored, images, by_id=by_id)
        trained[found[:, 0]] = True
        with_label = images.labels[found[:, 1]] != UNLABELLED
        labelled[found[with_label, 0]] = True
    return Overlap(len(scored), int(trained.sum()), int(labelled.sum()))
