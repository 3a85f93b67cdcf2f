"""EXIF orientation of JPEG files.

Cameras store what their sensor saw and note how to turn it. Orientation 1 is
upright; 2 to 4 are mirrored or turned around; 5 to 8 lie on their side (EXIF
2.3, tag 0x0112). All in TensorFlow operations, so that it also works inside
`tf.data` and exported models.
"""

import tensorflow as tf

from tf_simclr import keras_compat

UPRIGHT = 1

_SIDEWAYS = 5
_TAG = 0x0112
_MARK = b"Exif\x00\x00"
# The EXIF block usually comes first in a file, and the tag first in the block.
_SEARCHED = 4096
# It can also follow color profiles and thumbnails, but not the start of the
# frame: marker, length and depth of 8 bits, in color and in gray (ITU-T T.81).
_SEARCHED_FOR_LONG = 2**19
_FRAMES = (
    b"\xff\xc0\x00\x11\x08",
    b"\xff\xc2\x00\x11\x08",
    b"\xff\xc0\x00\x0b\x08",
)
_ENTRY = 12
_MAX_ENTRIES = 256


def exif_orientation(encoded: tf.Tensor) -> tf.Tensor:
    """The orientation that a JPEG file notes, UPRIGHT where it notes none.

    Args:
      encoded: string scalar, the file's bytes; damaged ones do no harm.

    Returns:
      int32 scalar, 1 to 8.
    """
    start = tf.strings.substr(encoded, 0, _SEARCHED)
    parts = keras_compat.split_once(start[tf.newaxis], _MARK)
    frames = [keras_compat.split_once(start[tf.newaxis], f) for f in _FRAMES]
    has_frame = tf.reduce_any([tf.size(found) > 1 for found in frames])

    def searched_for_long() -> tf.Tensor:
        longer = tf.strings.substr(encoded, 0, _SEARCHED_FOR_LONG)
        return _in_parts(keras_compat.split_once(longer[tf.newaxis], _MARK))

    return tf.cond(
        (tf.size(parts) > 1) | has_frame,
        lambda: _in_parts(parts),
        searched_for_long,
    )


def _in_parts(parts: tf.Tensor) -> tf.Tensor:
    """The orientation from what stands before and behind the mark."""
    return tf.cond(
        tf.size(parts) > 1,
        lambda: _read_tag(
            tf.io.decode_raw(
                tf.strings.substr(parts[1], 0, _SEARCHED), tf.uint8
            )
        ),
        lambda: tf.constant(UPRIGHT),
    )


def upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns an image as its orientation asks for.

    Args:
      image: (H, W, C).
      orientation: int32 scalar, from `exif_orientation`.

    Returns:
      (H, W, C), or (W, H, C) where the image lay on its side.
    """

    def turn() -> tf.Tensor:
        turned = tf.cond(
            is_sideways(orientation),
            lambda: tf.transpose(image, (1, 0, 2)),
            lambda: image,
        )
        mirrored_y, mirrored_x = _mirrored(orientation)
        turned = tf.cond(
            mirrored_y, lambda: tf.reverse(turned, (0,)), lambda: turned
        )
        return tf.cond(
            mirrored_x, lambda: tf.reverse(turned, (1,)), lambda: turned
        )

    return tf.cond(orientation > UPRIGHT, turn, lambda: image)


def stored_boxes(
    boxes: tf.Tensor, sizes: tf.Tensor, orientations: tf.Tensor
) -> tf.Tensor:
    """Boxes of upright images as places in the images as they are stored.

    Args:
      boxes: int32 (B, 4): y, x, height, width.
      sizes: int32 (B, 2): heights and widths of the upright images.
      orientations: int32 (B,), from `exif_orientation`.

    Returns:
      int32 (B, 4).
    """
    offsets, extents = boxes[:, :2], boxes[:, 2:]
    mirrored = tf.stack(_mirrored(orientations), axis=1)
    offsets = tf.where(mirrored, sizes - offsets - extents, offsets)
    sideways = is_sideways(orientations)[:, tf.newaxis]
    return tf.concat(
        [
            tf.where(sideways, part[:, ::-1], part)
            for part in (offsets, extents)
        ],
        axis=1,
    )


def upright_margins(
    before: tf.Tensor, after: tf.Tensor, orientation: tf.Tensor
) -> tf.Tensor:
    """The margins above and to the left of what is stored, once it is upright.

    Args:
      before, after: int32 (2,), the margins of the stored image: above and to
        the left; below and to the right.
      orientation: int32 scalar, from `exif_orientation`.

    Returns:
      int32 (2,): above and to the left.
    """
    sideways = is_sideways(orientation)
    before = tf.where(sideways, before[::-1], before)
    after = tf.where(sideways, after[::-1], after)
    return tf.where(tf.stack(_mirrored(orientation)), after, before)


def is_sideways(orientation: tf.Tensor) -> tf.Tensor:
    """True where height and width are exchanged: bool, in the shape of the
    argument."""
    return orientation >= _SIDEWAYS


def _mirrored(orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Axes (y, x) that run backwards, once sideways images are transposed."""
    kind = (orientation - 1) % 4
    return kind >= 2, (kind == 1) | (kind == 2)


def _read_tag(tiff: tf.Tensor) -> tf.Tensor:
    """The orientation from a TIFF block, uint8 (N,); UPRIGHT if it is odd."""
    # Zeros follow, so that what a damaged block points to can be read.
    tiff = tf.cast(tf.pad(tiff, [[0, 8 + _ENTRY * _MAX_ENTRIES]]), tf.int32)
    little_endian = tiff[0] == ord("I")

    def numbers(places: tf.Tensor) -> tf.Tensor:
        """16-bit numbers at these places."""
        places = tf.clip_by_value(places, 0, tf.size(tiff) - 2)
        first, second = tf.gather(tiff, places), tf.gather(tiff, places + 1)
        return tf.where(
            little_endian, first + 256 * second, 256 * first + second
        )

    # A directory beyond 64 KiB would not fit into a JPEG segment.
    directory = numbers(tf.where(little_endian, 4, 6))
    count = tf.minimum(numbers(directory), _MAX_ENTRIES)
    entries = directory + 2 + _ENTRY * tf.range(count)
    is_tag = numbers(entries) == _TAG
    found = tf.reduce_max(tf.where(is_tag, numbers(entries + 8), 0))
    return tf.where((found >= 1) & (found <= 8), found, UPRIGHT)
