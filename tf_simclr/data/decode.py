"""From the bytes of an image file to pixels, in TensorFlow operations.

Training, evaluation and exported models all decode here, so that they see the
same pixels. JPEG, PNG, GIF (the first frame), BMP and WebP (no animations) are
read, whatever a file is called: gray, palette, alpha (ignored), CMYK and 16
bits (the upper 8 are kept) included.
"""

import tensorflow as tf

from tf_simclr.data.augment.resize import cut
from tf_simclr.data.orientation import (
    UPRIGHT,
    exif_orientation,
    is_sideways,
    upright,
)

# The slow inverse cosine transform errs by less than the fast one, equals what
# other libraries decode, and with vector instructions costs the same.
_DCT = "INTEGER_ACCURATE"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_BMP_MAGIC = b"BM"
# Bits of the flags in a WebP file's header.
_WEBP_ALPHA, _WEBP_ANIMATION = 0x10, 0x02
# The longest header of a BMP file (version 5), and where a palette behind it
# ends.
_BMP_LONGEST_HEADER = 124
_BMP_PALETTE_END = 14 + _BMP_LONGEST_HEADER + 4 * 256


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes an image file and turns it upright.

    Args:
      encoded: string scalar.

    Returns:
      uint8 (H, W, 3).

    Raises:
      tf.errors.InvalidArgumentError: no image, or a damaged one.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: upright(_decode_jpeg(encoded), exif_orientation(encoded)),
        lambda: _decode_other(encoded),
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
        shape = tf.shape(_decode_other(encoded))
        return _upright_geometry(shape[0], shape[1])

    geometry = tf.cond(
        tf.io.is_jpeg(encoded),
        of_jpeg,
        lambda: tf.cond(_starts_with(encoded, _PNG_MAGIC), of_png, of_other),
    )
    return tf.ensure_shape(geometry, (3,))


def decode_window(
    encoded: tf.Tensor, window: tf.Tensor, orientation: tf.Tensor
) -> tf.Tensor:
    """Decodes a part of an image; the rest of a JPEG is skipped.

    Args:
      encoded: string scalar.
      window: int32 (4,): y, x, height, width in the image as it is stored.
      orientation: int32 scalar, from `read_geometry`.

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
        lambda: cut(_decode_other(encoded), window),
    )
    return tf.ensure_shape(upright(image, orientation), (None, None, 3))


def _decode_jpeg(encoded: tf.Tensor) -> tf.Tensor:
    return tf.image.decode_jpeg(encoded, channels=3, dct_method=_DCT)


def _decode_other(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes what is no JPEG."""

    def of_usual() -> tf.Tensor:
        return tf.io.decode_image(encoded, channels=3, expand_animations=False)

    return tf.switch_case(
        _kind(encoded),
        [
            of_usual,
            lambda: _decode_palette_bmp(encoded),
            lambda: _decode_transparent_webp(encoded),
        ],
    )


def _kind(encoded: tf.Tensor) -> tf.Tensor:
    """1 for BMP files of 8 bits a pixel, 2 for WebP files with transparency,
    and 0 for all that `tf.io.decode_image` decodes to colors by itself."""
    head = _head(encoded, 30)
    has_palette = tf.strings.substr(head, 28, 2) == b"\x08\x00"
    has_palette &= _starts_with(head, _BMP_MAGIC)
    chunk = tf.strings.substr(head, 8, 8)
    extended = (chunk == b"WEBPVP8X") & _has_bit(head, 20, _WEBP_ALPHA)
    lossless = (chunk == b"WEBPVP8L") & _has_bit(head, 24, _WEBP_ALPHA)
    return tf.where(has_palette, 1, tf.where(extended | lossless, 2, 0))


def _decode_transparent_webp(encoded: tf.Tensor) -> tf.Tensor:
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
    return image[..., :3]


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
    """Whether the byte that stands there has this bit: bool scalar."""
    byte = tf.io.decode_raw(tf.strings.substr(encoded, at, 1), tf.uint8)[0]
    return tf.bitwise.bitwise_and(byte, tf.constant(bit, tf.uint8)) > 0


def _number(encoded: tf.Tensor, at: int) -> tf.Tensor:
    """The little-endian int32 scalar that starts there."""
    return tf.io.decode_raw(tf.strings.substr(encoded, at, 4), tf.int32)[0]


def _starts_with(encoded: tf.Tensor, magic: bytes) -> tf.Tensor:
    return tf.strings.substr(encoded, 0, len(magic)) == magic


def _upright_geometry(height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return tf.stack([height, width, UPRIGHT])
