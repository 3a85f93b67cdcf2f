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
from tf_simclr.data.sources.image_header import ImageHeader
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels, RecordPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.survey import Look, Survey
from tf_simclr.data.transcode import Unreadable, header_of, plain_bytes
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
    survey = source.survey
    for images in source.splits.values():
        if isinstance(images.pixels, ArrayPixels):
            continue
        for found in _scan(images):
            done += len(found)
            survey += Survey.of(found.values())
            for index, look in found.items():
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
    return dataclasses.replace(
        source, bad=bad, stamps=stamps, scanned=True, survey=survey
    )


def first_bad_image(images: ImageSet) -> tuple[str, str] | None:
    """(path or id, what is wrong) of an image that cannot be read, if any."""
    for found in _scan(images):
        for index, look in found.items():
            if look.why and isinstance(images.pixels, FilePixels):
                return images.pixels.path(index), look.why
            if look.why:
                return images.ids[index], look.why
    return None


def look_at(data: bytes, large: int = _LARGE) -> Look:
    """Decodes an image file, and says what was seen or is wrong.

    Whatever passes is decoded by training as well: it is the same decoder.

    Args:
      data: a file's contents.
      large: images of more pixels are decoded one at a time, whatever the
        threads: a scan's memory is that of one of them.
    """
    if not data:
        return Look("is empty")
    try:
        header = header_of(data)
        if header.pixels > MAX_PIXELS:
            return Look(
                f"holds {header.pixels:,} pixels ({header.width} x"
                f" {header.height}), more than the {MAX_PIXELS:,} that are read"
            )
        if header.pixels > large:
            with _one_large_image:
                return _decoded(data, header)
        return _decoded(data, header)
    except Unreadable as error:
        return Look(str(error))


def what_is_wrong(data: bytes, large: int = _LARGE) -> str:
    """Why these bytes cannot be read as an image; '' if they can be.

    Args:
      data: a file's contents.
      large: as of `look_at`.
    """
    return look_at(data, large).why


def _decoded(data: bytes, header: ImageHeader) -> Look:
    if header.unread:
        return Look(header.unread)
    damaged = Look(f"is damaged or cut off ({header.format})")
    if not header.pixels:
        return damaged
    data = plain_bytes(data)
    try:
        height, width = map(int, _decoder()(tf.constant(data)).numpy())
        is_png = data[:4] == b"\x89PNG"
        highest = -1
        if is_png and data[24] == 16:
            highest = int(_highest()(tf.constant(data)))
        transparent = _may_be_transparent(data, is_png) and bool(
            _is_transparent()(tf.constant(data))
        )
    except tf.errors.OpError:
        return damaged
    return Look("", height, width, highest, transparent)


def _may_be_transparent(data: bytes, is_png: bool) -> bool:
    if is_png:
        # Colors of a palette, and single ones, can be transparent, too.
        return data[25] in (4, 6) or b"tRNS" in data[:_PNG_SEARCHED]
    # Where the flags of WebP files are that have any.
    at = {b"VP8X": 20, b"VP8L": 24}.get(data[12:16])
    return data[8:12] == b"WEBP" and at is not None and data[at] & 0x10 > 0


_one_large_image = threading.Lock()
_PNG_SEARCHED = 2**13


@once_per_process
def _decoder() -> Callable[[tf.Tensor], tf.Tensor]:
    return _of_bytes(lambda data: tf.shape(decode_image(data))[:2])


@once_per_process
def _highest() -> Callable[[tf.Tensor], tf.Tensor]:
    def highest(data: tf.Tensor) -> tf.Tensor:
        values = tf.io.decode_png(data, channels=3, dtype=tf.uint16)
        return tf.reduce_max(tf.cast(values, tf.int32))

    return _of_bytes(highest)


@once_per_process
def _is_transparent() -> Callable[[tf.Tensor], tf.Tensor]:
    def is_transparent(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=4, expand_animations=False)
        return tf.reduce_any(image[..., 3] < 255)

    return _of_bytes(is_transparent)


def _of_bytes(
    function: Callable[[tf.Tensor], tf.Tensor],
) -> Callable[[tf.Tensor], tf.Tensor]:
    with tf.device("CPU:0"):
        return tf.function(
            function, input_signature=[tf.TensorSpec([], tf.string)]
        ).get_concrete_function()


def _scan(images: ImageSet) -> Iterator[dict[int, Look]]:
    """{index: what was seen} of one share of images after another."""
    is_files = isinstance(images.pixels, FilePixels)
    check = _check_file if is_files else _check_record

    def check_share(start: int) -> dict[int, Look]:
        indices = range(start, min(start + _SHARE, len(images)))
        return {index: check(images.pixels, index) for index in indices}

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        # libjpeg prints about damage without a file's name.
        with silent_standard_error():
            yield from pool.map(check_share, range(0, len(images), _SHARE))
    finally:
        pool.shutdown(cancel_futures=True)


def _check_record(pixels: RecordPixels, index: int) -> Look:
    try:
        data = pixels.stored(tf.constant(index)).numpy()
    except tf.errors.OpError:
        return Look("cannot be read from its shard")
    return look_at(data)


def _check_file(pixels: FilePixels, index: int) -> Look:
    path = pixels.path(index)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Look("is no file")
        if status.st_size > MAX_BYTES:
            return Look(f"is {status.st_size:,} bytes large")
        with open(path, "rb") as file:
            return look_at(file.read())
    except FileNotFoundError:
        linked = os.path.islink(path)
        return Look("is a broken link" if linked else "does not exist")
    except OSError as error:
        return Look(f"cannot be read: {error.strerror}")
