"""Decoding image files to pixels, in TensorFlow operations.

Training, evaluation and exported models all decode here, so that they see the
same pixels. JPEG, PNG, GIF (the first frame, opaque), BMP and WebP (no
animations) are read, whatever a file is called: gray, palette, transparency,
CMYK and 16 bits included. `transcode.py` brings other formats to these.
"""

import functools
from collections.abc import Callable

import tensorflow as tf

from tf_simclr import keras_compat
from tf_simclr.data.augment.framing import Framing
from tf_simclr.data.augment.resize import cut
from tf_simclr.data.decoding import AS_ORIGINAL, Decoding
from tf_simclr.data.orientation import (
    UPRIGHT,
    exif_orientation,
    is_sideways,
    upright,
    upright_margins,
)
from tf_simclr.data.sources.image_header import (
    PNG_KIND,
    PNG_OPAQUE,
    SEARCHED,
)
from tf_simclr.process import cached, once_per_process

# The slow inverse cosine transform errs by less than the fast one, equals what
# other libraries decode, and with vector instructions costs the same.
_DCT = "INTEGER_ACCURATE"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_BMP_MAGIC = b"BM"
# Bits of the flags in an extended WebP file's header, and in a lossless one's.
_WEBP_ALPHA, _WEBP_ANIMATION, _WEBP_EXIF = 0x10, 0x02, 0x08
# Where the header of a PNG file says the depth of its colors.
_PNG_DEPTH = 24
# What comes in front of the flags of a GIF file's frame, and the flag that one
# of its colors is transparent; its decoder shows that color as black.
_GIF_CONTROL, _GIF_TRANSPARENT = b"\x21\xf9\x04", 0x01
# The longest header of a BMP file (version 5), and where a palette behind it
# ends.
_BMP_LONGEST_HEADER = 124
_BMP_PALETTE_END = 14 + _BMP_LONGEST_HEADER + 4 * 256


def decode_image(encoded: tf.Tensor, how: Decoding = AS_ORIGINAL) -> tf.Tensor:
    """Decodes an image file and turns it upright.

    Args:
      encoded: string scalar.
      how: what becomes of transparency and of 16-bit values.

    Returns:
      uint8 (H, W, 3).

    Raises:
      tf.errors.InvalidArgumentError: no image, or a damaged one.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: upright(_decode_jpeg(encoded), exif_orientation(encoded)),
        lambda: _decode_other(encoded, how),
    )
    return tf.ensure_shape(image, (None, None, 3))


def read_geometry(encoded: tf.Tensor) -> tf.Tensor:
    """Size and orientation of an image; from its header where that is cheap.

    Args:
      encoded: string scalar.

    Returns:
      int32 (3,): height and width of the upright image, and the orientation
      in which it is stored.
    """

    def of_jpeg() -> tf.Tensor:
        orientation = exif_orientation(encoded)
        size = tf.image.extract_jpeg_shape(encoded)[:2]
        size = tf.where(is_sideways(orientation), size[::-1], size)
        return tf.concat([size, orientation[tf.newaxis]], axis=0)

    def of_png() -> tf.Tensor:
        size = tf.io.decode_raw(
            tf.strings.substr(_head(encoded, 24), 16, 8),
            tf.int32,
            little_endian=False,
        )
        return _upright_geometry(size[1], size[0])

    def of_other() -> tf.Tensor:
        shape = tf.shape(_decode_other(encoded, AS_ORIGINAL))
        return _upright_geometry(shape[0], shape[1])

    geometry = tf.cond(
        tf.io.is_jpeg(encoded),
        of_jpeg,
        lambda: tf.cond(_starts_with(encoded, _PNG_MAGIC), of_png, of_other),
    )
    return tf.ensure_shape(geometry, (3,))


@once_per_process
def traced_geometry() -> Callable[[tf.Tensor], tf.Tensor]:
    """`read_geometry`, traced once for all data sets of a process.

    Returns:
      A function of an image file, string scalar. It returns int32 (3,).
    """
    return traced_of_bytes(read_geometry)


@cached(maxsize=16)
def traced_decoder(
    how: Decoding, framing: Framing, image_size: int | None
) -> Callable[[tf.Tensor], tf.Tensor]:
    """A decoder, traced once for all data sets of a process that it fits.

    Args:
      how: what becomes of transparency and of 16-bit values.
      framing: says whether, and by how much, an image may be reduced.
      image_size: side of the view that evaluation makes of it; None decodes
        images whole.

    Returns:
      A function of an image file, string scalar. It returns uint8 (H, W, 3),
      upright, as `decode_for_view` does.
    """

    def decode(encoded: tf.Tensor) -> tf.Tensor:
        if image_size is None:
            return decode_image(encoded, how)
        return decode_for_view(encoded, how, framing, image_size)

    return traced_of_bytes(decode)


def traced_of_bytes(
    function: Callable[[tf.Tensor], tf.Tensor],
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Traces a function of one file, for the host.

    Args:
      function: of a string scalar.

    Returns:
      The same function; other graphs may call it.
    """
    with tf.device("CPU:0"):
        return tf.function(
            function,
            input_signature=[tf.TensorSpec([], tf.string)],
            autograph=False,
        ).get_concrete_function()


def decode_window(
    encoded: tf.Tensor,
    window: tf.Tensor,
    orientation: tf.Tensor,
    how: Decoding = AS_ORIGINAL,
) -> tf.Tensor:
    """Decodes a part of an image; the rest of a JPEG is skipped.

    Args:
      encoded: string scalar.
      window: int32 (4,): y, x, height, width in the image as it is stored.
      orientation: int32 scalar, from `read_geometry`.
      how: what becomes of transparency and of 16-bit values.

    Returns:
      uint8 (H, W, 3), upright.

    Raises:
      tf.errors.InvalidArgumentError: a damaged image.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.image.decode_and_crop_jpeg(
            encoded, window, channels=3, dct_method=_DCT
        ),
        lambda: cut(_decode_other(encoded, how), window),
    )
    return tf.ensure_shape(upright(image, orientation), (None, None, 3))


def decode_for_view(
    encoded: tf.Tensor, how: Decoding, framing: Framing, image_size: int
) -> tf.Tensor:
    """Decodes an image file as far as evaluation's view of it needs.

    With `framing.antialias`, a JPEG at a half, a quarter or an eighth of its
    size, if that is enough.

    Args:
      encoded: string scalar.
      how: what becomes of transparency and of 16-bit values.
      framing: says whether, and by how much, it may be reduced.
      image_size: side of the view that evaluation makes of it.

    Returns:
      uint8 (H, W, 3), upright.
    """

    if not framing.antialias:
        return decode_image(encoded, how)

    def of_jpeg() -> tf.Tensor:
        side = tf.reduce_min(tf.image.extract_jpeg_shape(encoded)[:2])
        image = _at_scale(
            framing.scale_of_image(side, image_size),
            lambda scale: tf.image.decode_jpeg(
                encoded, channels=3, ratio=scale, dct_method=_DCT
            ),
        )
        return upright(image, exif_orientation(encoded))

    image = tf.cond(
        tf.io.is_jpeg(encoded), of_jpeg, lambda: _decode_other(encoded, how)
    )
    return tf.ensure_shape(image, (None, None, 3))


def decode_reduced_window(
    encoded: tf.Tensor,
    window: tf.Tensor,
    orientation: tf.Tensor,
    how: Decoding,
    scale: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """`decode_window`, at a half, a quarter or an eighth of a JPEG's size.

    Args:
      encoded, window, orientation, how: as of `decode_window`.
      scale: int32 scalar, 1, 2, 4 or 8.

    Returns:
      uint8 (H, W, 3), upright; its scale, int32 scalar, 1 for what is no
      JPEG; and where the window begins in it, int32 (2,), in pixels of the
      whole image.
    """
    is_jpeg = tf.io.is_jpeg(encoded)
    scale = tf.where(is_jpeg, scale, 1)
    # Both ends lie within the reduced image, whose sides are rounded up.
    end = window[:2] + window[2:]
    first, last = window[:2] // scale, -(-end // scale)

    def of_jpeg() -> tf.Tensor:
        reduced = tf.concat([first, last - first], axis=0)
        return _at_scale(
            scale,
            lambda scale: tf.image.decode_and_crop_jpeg(
                encoded, reduced, channels=3, ratio=scale, dct_method=_DCT
            ),
        )

    image = tf.cond(
        is_jpeg, of_jpeg, lambda: cut(_decode_other(encoded, how), window)
    )
    image = tf.ensure_shape(upright(image, orientation), (None, None, 3))
    begins = upright_margins(
        window[:2] - first * scale, last * scale - end, orientation
    )
    return image, scale, begins


def _at_scale(
    scale: tf.Tensor, decode: Callable[[int], tf.Tensor]
) -> tf.Tensor:
    """Decodes at the scale that a tensor says: 1, 2, 4 or 8."""
    scales = (1, 2, 4, 8)
    branch = tf.reduce_sum(tf.cast(scale >= scales, tf.int32)) - 1
    return tf.switch_case(
        branch, [functools.partial(decode, scale) for scale in scales]
    )


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.image.decode_jpeg(encoded, channels=3, dct_method=_DCT)


def is_plain(encoded: tf.Tensor) -> tf.Tensor:
    """True for image files of the kinds that are decoded here.

    Args:
      encoded: string scalar, the bytes of a file.

    Returns:
      bool scalar. False also for what is no image.
    """

    def of_png() -> tf.Tensor:
        # EXIF blocks, which can say how to turn it.
        tail = tf.strings.length(encoded) - SEARCHED
        ends = tf.strings.substr(
            [encoded, encoded], [0, tf.maximum(tail, 0)], [SEARCHED] * 2
        )
        return tf.size(keras_compat.split_once(ends, b"eXIf")) == 2

    def of_other() -> tf.Tensor:
        head = _head(encoded, 64)
        depth = tf.strings.substr(head, 28, 2)
        size = _number(head, 14)
        bmp = _starts_with(head, _BMP_MAGIC) & (_number(head, 30) == 0)
        bmp &= (size >= 40) & (size <= _BMP_LONGEST_HEADER)
        bmp &= tf.reduce_any(tf.equal(depth, [b"\x08\0", b"\x18\0", b"\x20\0"]))
        webp = _starts_with(head, b"RIFF")
        webp &= tf.strings.substr(head, 8, 4) == b"WEBP"
        webp &= (tf.strings.substr(head, 12, 4) != b"VP8X") | ~_has_bit(
            head, 20, _WEBP_ANIMATION | _WEBP_EXIF
        )
        gif = _starts_with(head, b"GIF8") & ~_is_transparent_gif(encoded)
        return bmp | webp | gif

    return tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.constant(True),
        lambda: tf.cond(_starts_with(encoded, _PNG_MAGIC), of_png, of_other),
    )


def _is_transparent_gif(encoded: tf.Tensor) -> tf.Tensor:
    """True if the first frame of a GIF file may have transparent pixels: bool
    scalar."""
    start = tf.strings.substr(encoded, 0, SEARCHED)
    parts = keras_compat.split_once(start[None], _GIF_CONTROL)
    flags = _head(parts[-1], 1)
    return (tf.size(parts) > 1) & _has_bit(flags, 0, _GIF_TRANSPARENT)


def may_be_transparent(encoded: tf.Tensor) -> tf.Tensor:
    """True for PNG and WebP files that have a channel of transparency, or name
    a color that is transparent.

    Args:
      encoded: string scalar, the bytes of an image file.

    Returns:
      bool scalar.
    """
    head = _head(encoded, 64)
    is_png = _starts_with(head, _PNG_MAGIC)
    kind = tf.strings.substr(head, PNG_KIND, 1)
    start = tf.strings.substr(encoded, 0, SEARCHED)
    adds_alpha = tf.size(keras_compat.split_once(start[None], b"tRNS")) > 1
    has_alpha = ~tf.reduce_any(tf.equal(kind, PNG_OPAQUE)) | adds_alpha
    return (is_png & has_alpha) | _webp_has_alpha(head)


def _decode_other(encoded: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Decodes image files other than JPEG."""

    def of_usual() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    branches = [
        of_usual,
        lambda: _decode_palette_bmp(encoded),
        lambda: _decode_transparent_webp(encoded, how),
    ]
    kind = _kind(encoded)
    if how != AS_ORIGINAL:
        branches.append(lambda: _decode_png(encoded, how))
        kind = tf.where(_starts_with(encoded, _PNG_MAGIC), 3, kind)
    return tf.switch_case(kind, branches)


def _decode_png(encoded: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Decodes a PNG file with a background and a bit depth, which the original
    release lacks."""
    head = _head(encoded, 64)
    is_deep = tf.strings.substr(head, _PNG_DEPTH, 1) == b"\x10"

    def shallow(channels: int) -> tf.Tensor:
        return tf.io.decode_png(encoded, channels=channels)

    def deep(channels: int) -> tf.Tensor:
        values = tf.io.decode_png(encoded, channels=channels, dtype=tf.uint16)
        shift = tf.constant(how.bits - 8, tf.uint16)
        colors = tf.minimum(
            tf.bitwise.right_shift(values[..., :3], shift),
            tf.constant(255, tf.uint16),
        )
        # Transparency has 16 bits, however few of them its colors use.
        parts = [colors, tf.bitwise.right_shift(values[..., 3:], 8)]
        return tf.cast(tf.concat(parts, axis=2), tf.uint8)

    def colors_of(channels: int) -> tf.Tensor:
        return tf.cond(
            is_deep, lambda: deep(channels), lambda: shallow(channels)
        )

    if how.background is None:
        return colors_of(3)
    return tf.cond(
        may_be_transparent(encoded),
        lambda: _on_background(colors_of(4), how),
        lambda: colors_of(3),
    )


def _on_background(image: tf.Tensor, how: Decoding) -> tf.Tensor:
    """Colors uint8 (H, W, 3) of an image (H, W, 4) on what lies behind it."""
    if how.background is None:
        return image[..., :3]
    values = tf.cast(image, tf.int32)
    colors, alpha = values[..., :3], values[..., 3:]
    mixed = colors * alpha + how.background * (255 - alpha)
    return tf.cast((mixed + 127) // 255, tf.uint8)


def _kind(encoded: tf.Tensor) -> tf.Tensor:
    """1 for BMP files of 8 bits a pixel, 2 for WebP files with transparency,
    and 0 for all that `tf.io.decode_image` decodes to colors by itself."""
    head = _head(encoded, 30)
    has_palette = tf.strings.substr(head, 28, 2) == b"\x08\x00"
    has_palette &= _starts_with(head, _BMP_MAGIC)
    return tf.where(has_palette, 1, tf.where(_webp_has_alpha(head), 2, 0))


def _webp_has_alpha(head: tf.Tensor) -> tf.Tensor:
    chunk = tf.strings.substr(head, 8, 8)
    extended = (chunk == b"WEBPVP8X") & _has_bit(head, 20, _WEBP_ALPHA)
    lossless = (chunk == b"WEBPVP8L") & _has_bit(head, 24, _WEBP_ALPHA)
    return extended | lossless


def _decode_transparent_webp(encoded: tf.Tensor, how: Decoding) -> tf.Tensor:
    """TensorFlow insists on all four channels of such a file."""
    head = _head(encoded, 30)
    # Its decoder writes beyond its memory on some animations.
    check = tf.debugging.Assert(
        (tf.strings.substr(head, 12, 4) != b"VP8X")
        | ~_has_bit(head, 20, _WEBP_ANIMATION),
        ["An animated WebP image"],
    )
    with tf.control_dependencies([check]):
        image = tf.io.decode_image(encoded, channels=4, expand_animations=False)
    return _on_background(image, how)


def _decode_palette_bmp(encoded: tf.Tensor) -> tf.Tensor:
    """TensorFlow takes the indices into the palette for gray values."""
    head = _head(encoded, _BMP_PALETTE_END)
    header_size = _number(head, 14)
    known = (header_size >= 40) & (header_size <= _BMP_LONGEST_HEADER)
    check = tf.debugging.Assert(
        known & (_number(head, 30) == 0), ["Unknown kind of BMP image"]
    )
    with tf.control_dependencies([check]):
        indices = tf.io.decode_image(
            encoded, channels=3, expand_animations=False
        )
    palette = tf.strings.substr(head, 14 + header_size, 4 * 256)
    palette = tf.reshape(tf.io.decode_raw(palette, tf.uint8), (256, 4))
    blue, green, red, _ = tf.unstack(palette, axis=1)
    colors = tf.stack([red, green, blue], axis=1)
    return tf.gather(colors, tf.cast(indices[..., 0], tf.int32))


def _head(encoded: tf.Tensor, length: int) -> tf.Tensor:
    """The first bytes, with zeros after the end of a short file."""
    start = tf.strings.substr(encoded, 0, length)
    return tf.strings.join([start, b"\0" * length])


def _has_bit(encoded: tf.Tensor, at: int, bit: int) -> tf.Tensor:
    """True if the byte at a position has this bit: bool scalar."""
    byte = tf.io.decode_raw(tf.strings.substr(encoded, at, 1), tf.uint8)[0]
    return tf.bitwise.bitwise_and(byte, tf.constant(bit, tf.uint8)) > 0


def _number(encoded: tf.Tensor, at: int) -> tf.Tensor:
    """The little-endian int32 scalar that starts there."""
    return tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.int32)[0]


def _starts_with(encoded: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(magic)) == magic


def _upright_geometry(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.stack([height, width, UPRIGHT])
