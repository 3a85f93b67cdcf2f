"""Finds images that cannot be read, before training meets them."""

import concurrent.futures
import dataclasses
import functools
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.perceptual_hash import LENGTH, perceptual_hashes
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.look import (
    MAX_BYTES,
    Look,
    is_small,
    look_at,
    look_at_small,
)
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels, RecordPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import at_most
from tf_simclr.process import silent_standard_error

# Images that a thread takes at a time.
_SHARE = 64
# A line at least this often, counted in seconds.
_INTERVAL = 10.0
# Names in a notice; the rest is counted.
_SHOWN = 3


def scan_source(source: Source, *, hashes: bool = False) -> Source:
    """Looks at every image of a source; adds those that cannot be read.

    Takes about as long as decoding every image once. Prints a line every ten
    seconds. Images in memory are decoded already.

    Args:
      source: as it was listed.
      hashes: whether to add their perceptual hashes, too.
    """
    bad, stamps, splits = dict(source.bad), dict(source.stamps), {}
    done, shown = 0, time.monotonic()
    survey, notices = source.survey, source.notices
    for split, images in source.splits.items():
        splits[split] = images
        if isinstance(images.pixels, ArrayPixels):
            continue
        digests = np.zeros(len(images), np.uint64)
        splits[split] = dataclasses.replace(images, digests=digests)
        if hashes:
            table = np.zeros((len(images), LENGTH), np.int8)
            splits[split] = dataclasses.replace(splits[split], hashes=table)
        doubtful: list[int] = []
        for found in _scan(splits[split], doubtful):
            done += len(found)
            survey += Survey.of(found.values())
            for index, look in found.items():
                digests[index] = look.digest
                if look.why:
                    bad[images.ids[index]] = look.why
                    if isinstance(images.pixels, FilePixels):
                        # Mended in place, it leaves its folder as it was.
                        path = images.pixels.path(index)
                        stamps[path] = stamp(path)
            if time.monotonic() - shown >= _INTERVAL:
                shown = time.monotonic()
                print(
                    f"Looked at {done:,} of {len(source):,} images,"
                    f" {len(bad)} cannot be read.",
                    flush=True,
                )
        warned = _warned(images, doubtful)
        if warned:
            survey += Survey(warned=len(warned))
            names = [images.ids[index] for index in warned]
            notices += (
                "images that are damaged, but can be decoded:"
                f" {len(warned)} ({at_most(_SHOWN, names)})",
            )
    return dataclasses.replace(
        source,
        notices=notices,
        splits=splits,
        bad=bad,
        stamps=stamps,
        scanned=True,
        survey=survey,
    )


def first_bad_image(images: ImageSet) -> tuple[str, str] | None:
    """(path or id, what is wrong) of an image that cannot be read, if any."""
    for found in _scan(dataclasses.replace(images, hashes=None)):
        for index, look in found.items():
            if look.why and isinstance(images.pixels, FilePixels):
                return images.pixels.path(index), look.why
            if look.why:
                return images.ids[index], look.why
    return None


def _scan(
    images: ImageSet, doubtful: list[int] | None = None
) -> Iterator[dict[int, Look]]:
    """Looks at one share of images after another.

    Args:
      images: to look at.
      doubtful: gains the indices of those during whose look a decoder printed
        something, about them or about others.

    Yields:
      {index: what was seen}.
    """
    doubtful = [] if doubtful is None else doubtful

    def check_share(printed: Callable[[], int], start: int) -> dict[int, Look]:
        before = printed()
        found = _looks(images, range(start, min(start + _SHARE, len(images))))
        if printed() > before:
            doubtful.extend(i for i, look in found.items() if not look.why)
        return found

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        # libjpeg prints about damage without a file's name.
        with silent_standard_error() as printed:
            shares = range(0, len(images), _SHARE)
            yield from pool.map(functools.partial(check_share, printed), shares)
    finally:
        pool.shutdown(cancel_futures=True)


def _warned(images: ImageSet, doubtful: Sequence[int]) -> list[int]:
    """The images among them about which a decoder prints something."""
    images = dataclasses.replace(images, hashes=None)
    found = []
    with silent_standard_error() as printed:
        for index in sorted(doubtful):
            before = printed()
            _looks(images, [index])
            if printed() > before:
                found.append(index)
    return found


def _looks(images: ImageSet, indices: Sequence[int]) -> dict[int, Look]:
    """Findings about some images; hashes go to the images' table (N, 63)."""
    is_files = isinstance(images.pixels, FilePixels)
    read = _file_contents if is_files else _record_contents
    found: dict[int, Look] = {}
    small: dict[int, bytes] = {}

    def hashed(places: np.ndarray, pixels: np.ndarray) -> None:
        if images.hashes is not None:
            images.hashes[places] = perceptual_hashes(pixels)

    def look(index: int, data: bytes) -> Look:
        return look_at(
            data, seen=lambda image: hashed([index], image[np.newaxis])
        )

    for index in indices:
        data = read(images.pixels, index)
        if isinstance(data, Look):
            found[index] = data
        elif is_small(data):
            small[index] = data
        else:
            found[index] = look(index, data)
    if small:
        numbers = np.array([*small])
        looks = look_at_small(
            [*small.values()],
            lambda places, pixels: hashed(numbers[places], pixels),
        )
        # To find the one that cannot be read.
        looks = looks or [look(*item) for item in small.items()]
        found.update(zip(small, looks, strict=True))
    return {index: found[index] for index in indices}


def _record_contents(pixels: RecordPixels, index: int) -> bytes | Look:
    """Contents of an image of a shard, or the reason that there are none."""
    try:
        return pixels.stored(tf.constant(index)).numpy()
    except tf.errors.OpError:
        return Look("cannot be read from its shard")


def _file_contents(pixels: FilePixels, index: int) -> bytes | Look:
    """Contents of an image file, or the reason that there are none."""
    path = pixels.path(index)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Look("is no file")
        if status.st_size > MAX_BYTES:
            return Look(f"is {status.st_size:,} bytes large")
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        linked = os.path.islink(path)
        return Look("is a broken link" if linked else "does not exist")
    except OSError as error:
        return Look(f"cannot be read: {error.strerror}")
