"""Finds images that cannot be read, before training meets them."""

import concurrent.futures
import dataclasses
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tf_simclr.data.decode import decode_image
from tf_simclr.data.perceptual_hash import LENGTH, perceptual_hashes
from tf_simclr.data.sources.image_header import read_header
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels, RecordPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.process import once_per_process, silent_standard_error

# Larger images and files are refused, and large ones decoded one at a time:
# so many bytes times three is what a scan holds at most.
MAX_PIXELS = 2**27
MAX_BYTES = 2**28
_LARGE = 2**24
# Images that a thread takes at a time.
_SHARE = 64
# A line at least this often, counted in seconds.
_INTERVAL = 10.0


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
    for split, images in source.splits.items():
        splits[split] = images
        if isinstance(images.pixels, ArrayPixels):
            continue
        if hashes:
            table = np.zeros((len(images), LENGTH), np.int8)
            splits[split] = dataclasses.replace(images, hashes=table)
        for found in _scan(splits[split]):
            done += len(found)
            for index, why in found.items():
                if why:
                    bad[images.ids[index]] = why
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
    return dataclasses.replace(
        source, splits=splits, bad=bad, stamps=stamps, scanned=True
    )


def first_bad_image(images: ImageSet) -> tuple[str, str] | None:
    """(path or id, what is wrong) of an image that cannot be read, if any."""
    for found in _scan(dataclasses.replace(images, hashes=None)):
        for index, why in found.items():
            if why and isinstance(images.pixels, FilePixels):
                return images.pixels.path(index), why
            if why:
                return images.ids[index], why
    return None


def what_is_wrong(
    data: bytes,
    large: int = _LARGE,
    seen: Callable[[np.ndarray], None] | None = None,
) -> str:
    """Why these bytes cannot be read as an image; '' if they can be.

    Whatever passes is decoded by training as well: it is the same decoder.

    Args:
      data: a file's contents.
      large: images of more pixels are decoded one at a time, whatever the
        threads: a scan's memory is that of one of them.
      seen: called with the image, uint8 (H, W, 3), if it can be read.
    """
    if not data:
        return "is empty"
    header = read_header(data)
    if header is None:
        return "is no JPEG, PNG, GIF, BMP or WebP image"
    if header.pixels > MAX_PIXELS:
        return (
            f"holds {header.pixels:,} pixels ({header.width} x"
            f" {header.height}), more than the {MAX_PIXELS:,} that are read"
        )
    damaged = f"is damaged or cut off ({header.format})"
    if not header.pixels:
        return damaged
    try:
        if header.pixels > large:
            with _one_large_image:
                _look(data, seen)
        else:
            _look(data, seen)
    except tf.errors.OpError:
        return damaged
    return ""


def _look(data: bytes, seen: Callable[[np.ndarray], None] | None) -> None:
    image = _decoder()(tf.constant(data))
    if seen is not None:
        seen(image.numpy())


_one_large_image = threading.Lock()


@once_per_process
def _decoder() -> Callable[[tf.Tensor], tf.Tensor]:
    with tf.device("CPU:0"):
        return tf.function(
            decode_image, input_signature=[tf.TensorSpec([], tf.string)]
        ).get_concrete_function()


def _scan(images: ImageSet) -> Iterator[dict[int, str]]:
    """{index: what is wrong, or ''} of one share of images after another."""
    is_files = isinstance(images.pixels, FilePixels)
    check = _check_file if is_files else _check_record

    def check_share(start: int) -> dict[int, str]:
        indices = range(start, min(start + _SHARE, len(images)))
        return {
            index: check(images.pixels, index, _hashing(images.hashes, index))
            for index in indices
        }

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        # libjpeg prints about damage without a file's name.
        with silent_standard_error():
            yield from pool.map(check_share, range(0, len(images), _SHARE))
    finally:
        pool.shutdown(cancel_futures=True)


def _hashing(
    hashes: np.ndarray | None, index: int
) -> Callable[[np.ndarray], None] | None:
    """Writes the hash of an image to its place in a table (N, 63)."""
    if hashes is None:
        return None

    def write(image: np.ndarray) -> None:
        hashes[index] = perceptual_hashes(image[np.newaxis])[0]

    return write


def _check_record(
    pixels: RecordPixels,
    index: int,
    seen: Callable[[np.ndarray], None] | None,
) -> str:
    try:
        data = pixels.encoded(tf.constant(index)).numpy()
    except tf.errors.OpError:
        return "cannot be read from its shard"
    return what_is_wrong(data, seen=seen)


def _check_file(
    pixels: FilePixels,
    index: int,
    seen: Callable[[np.ndarray], None] | None,
) -> str:
    path = pixels.path(index)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        if status.st_size > MAX_BYTES:
            return f"is {status.st_size:,} bytes large"
        with open(path, "rb") as file:
            return what_is_wrong(file.read(), seen=seen)
    except FileNotFoundError:
        linked = os.path.islink(path)
        return "is a broken link" if linked else "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
