"""One look at an image file: can it be read, and what is odd about it?"""

import dataclasses
import threading
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_simclr.data.decode import decode_image
from tf_simclr.data.sources.image_header import ImageHeader
from tf_simclr.data.transcode import Unreadable, header_of, plain_bytes
from tf_simclr.process import once_per_process

# Larger images and files are refused, and large ones decoded one at a time:
# so many bytes times three is what a scan holds at most.
MAX_PIXELS = 2**27
MAX_BYTES = 2**28
_LARGE = 2**24
_one_large_image = threading.Lock()
# So far into a PNG file, the chunk of transparent colors is looked for.
_PNG_SEARCHED = 2**13


@dataclasses.dataclass(frozen=True)
class Look:
    """What was seen of one image.

    Attributes:
      why: it cannot be read; empty if it can.
      height, width: of the upright image, in pixels.
      highest: its largest value, where it has 16 bits; -1 for other images.
      transparent: whether any of its pixels is.
    """

    why: str = ""
    height: int = 0
    width: int = 0
    highest: int = -1
    transparent: bool = False


def look_at(
    data: bytes,
    large: int = _LARGE,
    seen: Callable[[np.ndarray], None] | None = None,
) -> Look:
    """Decodes an image file, and says what was seen or is wrong.

    Whatever passes is decoded by training as well: it is the same decoder.

    Args:
      data: a file's contents.
      large: images of more pixels are decoded one at a time, whatever the
        threads: a scan's memory is that of one of them.
      seen: called with the image, uint8 (H, W, 3), if it can be read.
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
                return _decoded(data, header, seen)
        return _decoded(data, header, seen)
    except Unreadable as error:
        return Look(str(error))


def what_is_wrong(data: bytes, large: int = _LARGE) -> str:
    """Why these bytes cannot be read as an image; '' if they can be.

    Args:
      data: a file's contents.
      large: as of `look_at`.
    """
    return look_at(data, large).why


def _decoded(
    data: bytes,
    header: ImageHeader,
    seen: Callable[[np.ndarray], None] | None,
) -> Look:
    if header.unread:
        return Look(header.unread)
    damaged = Look(f"is damaged or cut off ({header.format})")
    if not header.pixels:
        return damaged
    data = plain_bytes(data)
    try:
        image = _decoder()(tf.constant(data))
        height, width, _ = image.shape
        is_png = data[:4] == b"\x89PNG"
        highest = -1
        if is_png and data[24] == 16:
            highest = int(_highest()(tf.constant(data)))
        transparent = _may_be_transparent(data, is_png) and bool(
            _is_transparent()(tf.constant(data))
        )
    except tf.errors.OpError:
        return damaged
    if seen is not None:
        seen(image.numpy())
    return Look("", height, width, highest, transparent)


def _may_be_transparent(data: bytes, is_png: bool) -> bool:
    if is_png:
        # Colors of a palette, and single ones, can be transparent, too.
        return data[25] in (4, 6) or b"tRNS" in data[:_PNG_SEARCHED]
    # Where the flags of WebP files are that have any.
    at = {b"VP8X": 20, b"VP8L": 24}.get(data[12:16])
    return data[8:12] == b"WEBP" and at is not None and data[at] & 0x10 > 0


@once_per_process
def _decoder() -> Callable[[tf.Tensor], tf.Tensor]:
    return _of_bytes(decode_image)


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
