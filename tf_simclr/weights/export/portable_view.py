"""The evaluation view in operations that every runtime has.

Resizing is a product with two matrices, whose rows hold the weights of an
output pixel: ONNX and TFLite have no operation that shrinks images as
TensorFlow does.
"""

import tensorflow as tf

from tf_simclr.data.augment.crop import SHOWN
from tf_simclr.data.augment.framing import WHOLE_IMAGE_SIZE, Framing

# `tf.image.resize` looks up the weights of the cubic kernel at this many
# places, if it does not average.
_PLACES = 1024


def portable_view(
    images: tf.Tensor, image_size: int, framing: Framing
) -> tf.Tensor:
    """`evaluation_view` of images whose size shows only at run time.

    Args:
      images: uint8 (N, H, W, 3).
      image_size: S, the side of the view.
      framing: what is seen of an image, and how it is shrunk.

    Returns:
      float32 (N, S, S, 3) in [0, 1].
    """
    shape = tf.shape(images)
    count, height, width = shape[0], shape[1], shape[2]
    sides = tf.cast(tf.stack([height, width]), tf.float32)
    starts, lengths, inner = _boxes(sides, image_size, framing)
    rows, columns = (
        _weights(
            sides[axis],
            starts[axis],
            lengths[axis],
            inner[axis],
            image_size,
            framing.antialias,
        )
        for axis in (0, 1)
    )
    pixels = tf.cast(images, tf.float32)
    pixels = tf.reshape(pixels, tf.stack([count, height, width * 3]))
    pixels = tf.matmul(rows[tf.newaxis], pixels)
    pixels = tf.reshape(pixels, tf.stack([count * image_size, width, 3]))
    pixels = tf.matmul(columns[tf.newaxis], pixels)
    views = tf.reshape(pixels, [-1, image_size, image_size, 3])
    return tf.clip_by_value(views * (1 / 255), 0.0, 1.0)


def _boxes(
    sides: tf.Tensor, size: int, framing: Framing
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Along both axes (2,): where the box begins that is seen, its length, and
    that of the part of the view that it fills."""
    whole = tf.zeros_like(sides), sides
    inner = tf.fill([2], float(size))
    if framing.crop == "pad":
        longer = tf.reduce_max(sides)
        filled = tf.floor((sides * size + tf.floor(longer / 2)) / longer)
        return *whole, tf.maximum(filled, 1.0)
    if framing.crop != "center" or size <= WHOLE_IMAGE_SIZE:
        return *whole, inner
    # An image that has the right size stays as it is.
    fits = tf.reduce_all(tf.equal(sides, float(size)))
    crop = tf.round(SHOWN * tf.reduce_min(sides / size) * size)
    lengths = tf.where(fits, sides, tf.fill([2], 1.0) * crop)
    return tf.floor((sides - lengths + 1) / 2), lengths, inner


def _weights(
    side: tf.Tensor,
    start: tf.Tensor,
    length: tf.Tensor,
    inner: tf.Tensor,
    size: int,
    antialias: bool,
) -> tf.Tensor:
    """Weights of the pixels along an axis for each output pixel.

    Args:
      side: the image's length along the axis.
      start: of the part that is seen.
      length: of the part that is seen.
      inner: how many output pixels it fills, in the middle.
      size: S, all output pixels.
      antialias: whether all pixels count.

    Returns:
      float32 (S, side), 0 in the rows beside the middle.
    """
    before = tf.floor((size - inner) / 2)
    rows = tf.range(size, dtype=tf.float32) - before
    places = tf.range(side, dtype=tf.float32) - start
    scale = length / inner
    centers = ((rows + 0.5) * scale - 0.5)[:, tf.newaxis]
    if antialias:
        distances = (places - centers) / tf.maximum(scale, 1.0)
    else:
        lower = tf.floor(centers)
        step = tf.round((centers - lower) * _PLACES) / _PLACES
        distances = places - lower - step
    weights = _keys_cubic(tf.abs(distances))
    seen = (places >= 0) & (places < length)
    weights = tf.where(seen, weights, tf.zeros_like(weights))
    filled = ((rows >= 0) & (rows < inner))[:, tf.newaxis]
    # Rows outside see no pixel: nothing is divided by their 0.
    sums = tf.reduce_sum(weights, axis=1, keepdims=True)
    weights /= tf.where(filled, sums, tf.ones_like(sums))
    return tf.where(filled, weights, tf.zeros_like(weights))


def _keys_cubic(distances: tf.Tensor) -> tf.Tensor:
    """The cubic kernel (Keys 1981, a = -1/2) at distances >= 0."""
    near = (1.5 * distances - 2.5) * distances * distances + 1
    far = ((-0.5 * distances + 2.5) * distances - 4) * distances + 2
    values = tf.where(distances < 1, near, far)
    return tf.where(distances < 2, values, tf.zeros_like(values))
