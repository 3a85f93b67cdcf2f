"""Check of one image file: unreadable ones, and oddities."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.data.decode import (
    decode_image,
    may_be_transparent,
    traced_of_bytes,
)
from tf_simclr.data.sources.image_header import (
    ImageHeader,
    is_opaque,
    is_simple,
    read_header,
)
from tf_simclr.data.transcode import Unreadable, header_of, plain_bytes
from tf_simclr.process import once_per_process

# Larger images and files are refused, and large ones decoded one at a time:
# so many bytes times three is what a scan holds at most.
MAX_PIXELS = 2**27
MAX_BYTES = 2**28
_LARGE = 2**24
_one_large_image = threading.Lock()
# Images of so many pixels at most are decoded many at a time: a call of
# TensorFlow takes longer than their decoding.
_SMALL = 2**16


@dataclasses.dataclass(frozen=True)
class Look:
    """Findings about one image.

    Attributes:
      why: it cannot be read; empty if it can.
      height, width: of the upright image, in pixels.
      highest: its largest value, where it has 16 bits; -1 for other images.
      transparent: whether any of its pixels is.
      digest: of the file's bytes, 64 bits and not 0; 0 if it cannot be read.
    """

    why: str = ""
    height: int = 0
    width: int = 0
    highest: int = -1
    transparent: bool = False
    digest: int = dataclasses.field(default=0, compare=False)


def look_at(
    data: bytes,
    large: int = _LARGE,
    seen: Callable[[np.ndarray], None] | None = None,
) -> Look:
    """Decodes an image file; reports why it cannot be read, or its oddities.

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
                look = _decoded(data, header, seen)
        else:
            look = _decoded(data, header, seen)
        if look.why:
            return look
        return dataclasses.replace(look, digest=content_digest(data))
    except Unreadable as error:
        return Look(str(error))


def is_small(data: bytes) -> bool:
    """True for files that `look_at_small` takes: small images of usual kinds.

    Args:
      data: a file's contents.
    """
    if not (is_simple(data) and is_opaque(data)) or _is_deep(data):
        return False
    header = read_header(data)
    return (
        header is not None and not header.unread and 0 < header.pixels <= _SMALL
    )


def look_at_small(
    files: Sequence[bytes],
    seen: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> list[Look] | None:
    """`look_at` for several files in one call, several times as fast.

    Args:
      files: contents of files, of each of which `is_small`.
      seen: called with the places int64 (k,) of the images of one size, and
        these images, uint8 (k, H, W, 3).

    Returns:
      The findings; None if any of the files cannot be read.
    """
    try:
        pixels, sizes = _decoder_of_many()(tf.constant(files))
    except tf.errors.OpError:
        return None
    values, starts, sizes = (
        pixels.values.numpy(),
        pixels.row_splits.numpy(),
        sizes.numpy(),
    )
    if seen is not None:
        for size in np.unique(sizes, axis=0):
            places = np.flatnonzero(np.all(sizes == size, axis=1))
            parts = [values[starts[x] : starts[x + 1]] for x in places]
            seen(places, np.stack(parts).reshape(len(parts), *size, 3))
    return [
        Look("", height, width, digest=content_digest(data))
        for data, (height, width) in zip(files, sizes.tolist(), strict=True)
    ]


def what_is_wrong(data: bytes, large: int = _LARGE) -> str:
    """The reason that these bytes cannot be read as an image; '' if they can
    be.

    Args:
      data: a file's contents.
      large: as of `look_at`.
    """
    return look_at(data, large).why


def content_digest(data: bytes) -> int:
    """64 bits of a file's contents, never 0."""
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return int.from_bytes(digest, "little") | 1


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
        highest, transparent = -1, False
        if _is_deep(data):
            highest = int(_highest()(tf.constant(data)))
        if not is_opaque(data):
            transparent = bool(_is_transparent()(tf.constant(data)))
    except tf.errors.OpError:
        return damaged
    if seen is not None:
        seen(image.numpy())
    return Look("", height, width, highest, transparent)


def _is_deep(data: bytes) -> bool:
    return data[:4] == b"\x89PNG" and data[24:25] == b"\x10"


@once_per_process
def _decoder_of_many() -> Callable[[tf.Tensor], tuple]:
    """(n,) files -> pixels, ragged uint8 (n, None), and sizes int32 (n, 2)."""

    def flat(data: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = decode_image(data)
        return tf.reshape(image, [-1]), tf.shape(image)[:2]

    kinds = (
        tf.RaggedTensorSpec([None], tf.uint8, ragged_rank=0),
        tf.TensorSpec([2], tf.int32),
    )
    with tf.device("CPU:0"):
        return tf.function(
            lambda files: tf.map_fn(flat, files, fn_output_signature=kinds),
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        ).get_concrete_function()


@once_per_process
def _decoder() -> Callable[[tf.Tensor], tf.Tensor]:
    return traced_of_bytes(decode_image)


@once_per_process
def _highest() -> Callable[[tf.Tensor], tf.Tensor]:
    def highest(data: tf.Tensor) -> tf.Tensor:
        values = tf.io.decode_png(data, channels=3, dtype=tf.uint16)
        return tf.reduce_max(tf.cast(values, tf.int32))

    return traced_of_bytes(highest)


@once_per_process
def _is_transparent() -> Callable[[tf.Tensor], tf.Tensor]:
    def any_is(data: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(data, channels=4, expand_animations=False)
        return tf.reduce_any(image[..., 3] < 255)

    return traced_of_bytes(
        lambda data: tf.cond(
            may_be_transparent(data),
            lambda: any_is(data),
            lambda: tf.constant(False),
        )
    )
