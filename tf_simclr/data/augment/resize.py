"""Bicubic crop-and-resize of a batch, each image with its own box.

Resizing is linear and separable: per axis, a matrix whose rows hold the four
weights of each output pixel. Two batched matrix products apply it. A single
image of any size goes through TensorFlow's kernel instead; both agree.
"""

import tensorflow as tf

from tf_simclr.data.augment.color import from_planes, to_planes
from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing

# TensorFlow's kernel rounds the distance between samples to this grid.
_GRID = 1024


def crop_and_resize(
    images: tf.Tensor, boxes: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Cuts a box out of every image and resizes it.

    Equals `tf.image.resize(crop, (height, width), "bicubic")` of each crop. The
    result is not clipped: bicubic weights overshoot.

    Args:
      images: (B, H, W, C), uint8 or float32 in [0, 1].
      boxes: float32 (B, 4) of whole y, x, height, width, inside the image.
      height: output height.
      width: output width.

    Returns:
      float32 (B, height, width, C).
    """
    planes = crop_and_resize_planes(to_planes(images), boxes, height, width)
    return from_planes(planes)


def crop_and_resize_planes(
    planes: tf.Tensor,
    boxes: tf.Tensor,
    height: int,
    width: int,
    mirrored: tf.Tensor | None = None,
) -> tf.Tensor:
    """`crop_and_resize` on planes, with an optional horizontal flip.

    Args:
      planes: float32 (B, C, H, W).
      boxes: float32 (B, 4) of whole y, x, height, width, inside the image.
      height: output height.
      width: output width.
      mirrored: bool (B,), the outputs to flip horizontally, which costs
        nothing here.

    Returns:
      float32 (B, C, height, width).
    """
    y, x, box_heights, box_widths = tf.unstack(boxes, axis=1)
    batch, channels, rows, columns = tf.unstack(tf.shape(planes))
    down = _axis_weights(y, box_heights, rows, height)
    across = _axis_weights(x, box_widths, columns, width, mirrored)
    # Shrinking the longer axis first leaves less work for the other.
    if (planes.shape[2] or 0) > (planes.shape[3] or 0):
        return _resize_columns(_resize_rows(planes, down), across)
    return _resize_rows(_resize_columns(planes, across), down)


def crop_and_resize_image(
    image: tf.Tensor,
    box: tf.Tensor,
    size: int,
    framing: Framing = ORIGINAL_FRAMING,
) -> tf.Tensor:
    """Cuts a box out of one image and resizes it to a square.

    For images that do not come in batches of one size: TensorFlow's kernel
    takes one image at a time and beats matrix products on large ones.

    Args:
      image: uint8 (H, W, 3).
      box: int32 (4,): y, x, height, width, inside the image.
      size: S, output height and width.
      framing: how it is shrunk.

    Returns:
      float32 (S, S, 3), white being 255 as before. Not clipped.
    """
    # The kernel converts bytes one by one.
    crop = tf.cast(cut(image, box), tf.float32)
    resized = framing.resize(crop[tf.newaxis], size, size)
    return tf.ensure_shape(resized[0], (size, size, 3))


def cut(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """The box (int32 y, x, height, width) of an image (H, W, C)."""
    y, x, height, width = tf.unstack(box)
    return tf.slice(image, (y, x, 0), (height, width, -1))


def _resize_rows(planes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Multiplies the H axis by (B, out, H) matrices."""
    return tf.matmul(weights[:, tf.newaxis], planes)


def _resize_columns(planes: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Multiplies the W axis by (B, out, W) matrices."""
    batch, channels, rows, columns = tf.unstack(tf.shape(planes))
    lines = tf.reshape(planes, (batch, channels * rows, columns))
    lines = tf.matmul(lines, weights, transpose_b=True)
    return tf.reshape(lines, (batch, channels, rows, tf.shape(weights)[1]))


def _axis_weights(
    starts: tf.Tensor,
    sizes: tf.Tensor,
    length: tf.Tensor,
    out: int,
    mirrored: tf.Tensor | None = None,
) -> tf.Tensor:
    """The matrices that resize one axis.

    Follows TensorFlow's `ResizeBicubic` with half-pixel centers: the distance
    to the samples is rounded to 1/1024, samples outside the box count as
    absent, and the weights that remain are scaled to sum 1.

    Args:
      starts: float32 (B,), where each box begins on this axis.
      sizes: float32 (B,), how long it is.
      length: how long the image is.
      out: how long the output is.
      mirrored: bool (B,), which outputs run backwards; none by default.

    Returns:
      float32 (B, out, length).
    """
    starts, sizes = starts[:, tf.newaxis], sizes[:, tf.newaxis]
    centers = (tf.range(out, dtype=tf.float32) + 0.5) * (sizes / out) - 0.5
    left = tf.floor(centers)
    distance = tf.round((centers - left) * _GRID) / _GRID
    # The four samples of each output pixel: (4, B, out).
    samples = tf.stack([left - 1, left, left + 1, left + 2])
    weights = tf.stack(
        [
            _far_weight(1 + distance),
            _near_weight(distance),
            _near_weight(1 - distance),
            _far_weight(2 - distance),
        ]
    )
    inside = tf.clip_by_value(samples, 0.0, sizes - 1)
    weights *= tf.cast(tf.equal(inside, samples), tf.float32)
    weights /= tf.reduce_sum(weights, axis=0)

    batch = tf.shape(starts)[0]
    rows = tf.range(out)[tf.newaxis]
    if mirrored is not None:
        rows = tf.where(mirrored[:, tf.newaxis], out - 1 - rows, rows)
    rows += tf.range(batch)[:, tf.newaxis] * out
    cells = rows * length + tf.cast(starts + inside, tf.int32)
    # A sum over segments writes the few weights there are into zeros.
    flat = tf.math.unsorted_segment_sum(weights, cells, batch * out * length)
    return tf.reshape(flat, (batch, out, length))


def _near_weight(distance: tf.Tensor) -> tf.Tensor:
    """Keys' cubic (a = -1/2) at distances up to 1."""
    return (1.5 * distance - 2.5) * distance * distance + 1


def _far_weight(distance: tf.Tensor) -> tf.Tensor:
    """Keys' cubic (a = -1/2) at distances from 1 to 2."""
    return ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
