"""Finds images that cannot be read, before training meets them."""

import concurrent.futures
import dataclasses
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from tf_simclr.data.decode import decode_image
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


def scan_source(source: Source) -> Source:
    """Looks at every image of a source; adds those that cannot be read.

    Takes about as long as decoding every image once. Prints a line every ten
    seconds. Images in memory are decoded already.
    """
    bad, stamps = dict(source.bad), dict(source.stamps)
    done, shown = 0, time.monotonic()
    for images in source.splits.values():
        if isinstance(images.pixels, ArrayPixels):
            continue
        for found in _scan(images):
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
    return dataclasses.replace(source, bad=bad, stamps=stamps, scanned=True)


def first_bad_image(images: ImageSet) -> tuple[str, str] | None:
    """(path or id, what is wrong) of an image that cannot be read, if any."""
    for found in _scan(images):
        for index, why in found.items():
            if why and isinstance(images.pixels, FilePixels):
                return images.pixels.path(index), why
            if why:
                return images.ids[index], why
    return None


def what_is_wrong(data: bytes, large: int = _LARGE) -> str:
    """Why these bytes cannot be read as an image; '' if they can be.

    Whatever passes is decoded by training as well: it is the same decoder.

    Args:
      data: a file's contents.
      large: images of more pixels are decoded one at a time, whatever the
        threads: a scan's memory is that of one of them.
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
                _decoder()(tf.constant(data))
        else:
            _decoder()(tf.constant(data))
    except tf.errors.OpError:
        return damaged
    return ""


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
        return {index: check(images.pixels, index) for index in indices}

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        # libjpeg prints about damage without a file's name.
        with silent_standard_error():
            yield from pool.map(check_share, range(0, len(images), _SHARE))
    finally:
        pool.shutdown(cancel_futures=True)


def _check_record(pixels: RecordPixels, index: int) -> str:
    try:
        data = pixels.encoded(tf.constant(index)).numpy()
    except tf.errors.OpError:
        return "cannot be read from its shard"
    return what_is_wrong(data)


def _check_file(pixels: FilePixels, index: int) -> str:
    path = pixels.path(index)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return "is no file"
        if status.st_size > MAX_BYTES:
            return f"is {status.st_size:,} bytes large"
        with open(path, "rb") as file:
            return what_is_wrong(file.read())
    except FileNotFoundError:
        linked = os.path.islink(path)
        return "is a broken link" if linked else "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
