"""Equal images of one set or two, however they are reached; their overlap."""

import collections
import dataclasses
import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tf_simclr.data.sources.image_set import PREFIX, UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    RecordPixels,
    on_host,
)

# Bytes of an image that are compared with those of all others, and numbers
# that mix them into one.
_SAMPLED = 64
_MIXERS = np.random.default_rng(0).integers(2**63, size=8, dtype=np.uint64) | 1


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


def with_equal_found(images: ImageSet) -> ImageSet:
    """Returns the images with their `first_equal`.

    Image files and examples in shards are the same as in `same_images`; images
    in memory, by their pixels. No file is read, and only those that may be
    hard links of one another are looked at; of images in memory, only those
    that share some pixels are compared whole.

    Args:
      images: as they were listed: not yet decoded.
    """
    match images.pixels:
        case ArrayPixels(array=array):
            keys = pixel_keys(array)
        case FilePixels():
            keys = _file_keys(images.pixels)
        case RecordPixels():
            keys = _examples(images.pixels)
    first: dict[Hashable, int] = {}
    found = [first.setdefault(key, place) for place, key in enumerate(keys)]
    if len(first) == len(images):
        return dataclasses.replace(images, first_equal=None)
    return dataclasses.replace(images, first_equal=np.array(found, np.int64))


def example_ids(images: ImageSet) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of places of images, int64 (n,): their ids, which are equal
    for equal images."""
    if images.first_equal is None:
        return lambda places: places
    first = on_host(images.first_equal)
    return lambda places: tf.gather(first, places)


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


def pixel_keys(array: np.ndarray) -> Iterator[Hashable]:
    """A digest of each image that may be equal to another, else its place.

    Args:
      array: uint8 (N, H, W, 3).
    """
    flat = array.reshape(len(array), -1)
    sampled = np.linspace(0, flat.shape[1] - 1, _SAMPLED).astype(int)
    words = np.ascontiguousarray(flat[:, sampled]).view(np.uint64)
    mixed = np.sum(words * _MIXERS, axis=1, dtype=np.uint64)
    _, inverse, counts = np.unique(
        mixed, return_inverse=True, return_counts=True
    )
    alike = counts[inverse] > 1
    digests = _digests(array, np.flatnonzero(alike))
    return (
        next(digests) if found else place for place, found in enumerate(alike)
    )


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


def _file_keys(pixels: FilePixels) -> Iterator[Hashable]:
    """The path of each file without links; of files that may have several such
    names, their number in the file system.

    The list of a folder holds the numbers of its files, so that only those of
    equal numbers are looked at one by one.
    """
    located = list(_located(pixels))
    devices = {
        folder: _inode(folder)[0]
        for folder in {folder for _, folder, _ in located}
    }
    numbers = {
        path: _inode(path)[:2] if number is None else (devices[folder], number)
        for path, folder, number in located
    }
    names = collections.Counter(numbers.values())
    for path, *_ in located:
        yield _inode(path) if names[numbers[path]] > 1 else path


def _inode(path: str) -> tuple[Hashable, ...]:
    """(device, number, names) of a file; its path where it cannot be seen."""
    try:
        found = os.stat(path)
    except OSError:
        return (path, 0, 0)
    return (found.st_dev, found.st_ino, found.st_nlink)


def _resolved(pixels: FilePixels) -> Iterator[str]:
    """The path of each file without links."""
    return (path for path, *_ in _located(pixels))


def _located(pixels: FilePixels) -> Iterator[tuple[str, str, int | None]]:
    """The path of each file without links, the folder that lists it, and its
    number in the file system; None for links and for files that have gone.

    Each folder is resolved and listed once: on a file server, to look at each
    file instead would cost a round trip for every image.
    """
    folders: dict[str, tuple[str, dict[str, int | None]]] = {}
    for name in pixels.names:
        cut = name.rfind(os.sep) + 1
        head, tail = name[:cut], name[cut:]
        if head not in folders:
            path = os.path.realpath(os.path.join(pixels.root, head))
            folders[head] = path, _entries(path)
        folder, numbers = folders[head]
        path, number = f"{folder}{os.sep}{tail}", numbers.get(tail)
        if number is None and tail in numbers:
            path = os.path.realpath(path)
        yield path, folder, number


def _entries(folder: str) -> dict[str, int | None]:
    """{name: number in the file system} of a folder's files, None for symbolic
    links; empty if the folder has gone."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: None if entry.is_symlink() else entry.inode()
                for entry in entries
            }
    except OSError:
        return {}


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
    """Compares evaluation images with training images by identity, without
    reading them.

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
