"""Convolutions of small feature maps, in forms that fill a CPU's matrix units.

oneDNN's kernels multiply the pixels of one row of one image at a time. Where a
row has four pixels, a tile of sixteen stays three quarters empty; and the
kernel's gradient, a sum over all pixels of the batch, is cut into as many small
products as there are rows. Two other forms of the same sums are faster there:

  side by side   sixteen images in one wide one, with columns of zeros between
  products       the kernel's gradient at each of its positions as one product
                 of two matrices over all pixels of the batch

`benchmarks/speed/convolutions.py` measures them all; the limits below are where
its tables cross over. Without AVX-512, oneDNN's gradient by the inputs takes
many times as long as some convolutions themselves; as a convolution with the
flipped kernel (`benchmarks/speed/input_gradients.py`) about as long as these.
"""

import tensorflow as tf

from tf_simclr import keras_compat

# Images put side by side; more of them gained nothing.
_SIDE_BY_SIDE = 16
# Maps from which native kernels fill a tile of sixteen rows well enough.
_FILLED, _HALF_FILLED = 4, 8
# Products of fewer channels, per column of the map, are too thin to pay.
_CHANNELS_PER_COLUMN = 16
# oneDNN's gradient of a strided kernel of one pixel writes beyond its memory
# where fewer channels come in than a vector holds: maps of 56 pixels a side
# ended the process, those of 48 did not (TensorFlow 2.21, AVX-512).
_VECTOR, _SAFE = 16, 16
# In float32 there are no tiles, and copies cost twice as much.
_CHANNELS_SIDE_BY_SIDE, _CHANNELS_FLOAT32 = 512, 256


def convolve(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    strides: int,
    padding: str,
    flipped: bool = False,
) -> tf.Tensor:
    """A convolution without bias whose gradients are fast on small feature
    maps.

    The values are those of `tf.nn.conv2d` but for the order of sums.

    Args:
      inputs: (N, H, W, C), float32 or bfloat16.
      kernel: (k, k, C, K), of the same dtype.
      strides: in both directions.
      padding: 'SAME', which needs a stride of 1, or 'VALID'.
      flipped: whether float32 gradients by the inputs are convolutions with
        the flipped kernel, where these are the same sums.
    """
    images = _images_side_by_side(inputs, kernel, strides, padding)
    by_products = _prefers_products(inputs, kernel, strides)
    flipped = flipped and _can_flip(inputs, kernel, strides, padding)
    if images == 1 and not by_products and not flipped:
        return tf.nn.conv2d(inputs, kernel, strides, padding)

    @tf.custom_gradient
    def convolved(inputs: tf.Tensor, kernel: tf.Tensor):
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            to_kernel = _by_products if by_products else _native_to_kernel
            return (
                _by_flipping(kernel, upstream, images)
                if flipped
                else _to_inputs(
                    inputs, kernel, upstream, strides, padding, images
                ),
                to_kernel(inputs, kernel, upstream, strides, padding),
            )

        outputs = _apart(
            tf.nn.conv2d(
                _side_by_side(inputs, images), kernel, strides, padding
            ),
            images,
        )
        return outputs, gradient

    return convolved(inputs, kernel)


def _images_side_by_side(
    inputs: tf.Tensor, kernel: tf.Tensor, strides: int, padding: str
) -> int:
    """Number of images to put into one; 1: leave them alone."""
    count, _, width, channels = inputs.shape
    worth = (
        count is not None
        and width is not None
        and width <= _FILLED
        and min(channels, kernel.shape[-1]) >= _CHANNELS_SIDE_BY_SIDE
        and (kernel.shape[0], strides, padding) == (3, 1, "SAME")
    )
    images = _SIDE_BY_SIDE if worth else 1
    while count is not None and count % images:
        images //= 2
    return images


def _prefers_products(
    inputs: tf.Tensor, kernel: tf.Tensor, strides: int
) -> bool:
    """True if the kernel's gradient is faster, or only safe, by products."""
    if None in inputs.shape[1:3]:
        return False
    size, channels = kernel.shape[0], min(kernel.shape[2:])
    # What is strided has been padded.
    width = inputs.shape[2]
    if strides > 1:
        width = (width - size) // strides + 1
        if size == 1 and inputs.shape[3] < _VECTOR and width > _SAFE:
            return True
    if inputs.dtype != tf.bfloat16:
        return (
            size > 1
            and strides == 1
            and width <= _FILLED
            and channels >= _CHANNELS_FLOAT32
        )
    if size == 1:
        return strides == 1 or width <= _HALF_FILLED
    return width <= _HALF_FILLED and channels >= _CHANNELS_PER_COLUMN * width


def _side_by_side(images: tf.Tensor, count: int) -> tf.Tensor:
    """(N, H, W, C) -> (N / count, H, count * (W + 1), C)."""
    if count == 1:
        return images
    batch, height, width, channels = images.shape
    rows = tf.reshape(images, [batch // count, count, height, width, channels])
    rows = tf.pad(rows, [[0, 0], [0, 0], [0, 0], [0, 1], [0, 0]])
    return tf.reshape(
        tf.transpose(rows, [0, 2, 1, 3, 4]),
        [batch // count, height, count * (width + 1), channels],
    )


def _apart(wide: tf.Tensor, count: int) -> tf.Tensor:
    """(M, H, count * (W + 1), C) -> (M * count, H, W, C)."""
    if count == 1:
        return wide
    batch, height, columns, channels = wide.shape
    width = columns // count
    rows = tf.reshape(wide, [batch, height, count, width, channels])
    return tf.reshape(
        tf.transpose(rows[:, :, :, :-1], [0, 2, 1, 3, 4]),
        [batch * count, height, width - 1, channels],
    )


def _to_inputs(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    upstream: tf.Tensor,
    strides: int,
    padding: str,
    images: int,
) -> tf.Tensor:
    shape = tf.shape(inputs)
    if images > 1:
        batch, height, width, channels = inputs.shape
        shape = [batch // images, height, images * (width + 1), channels]
    wide = keras_compat.conv2d_input_gradient(
        shape, kernel, _side_by_side(upstream, images), strides, padding
    )
    return _apart(wide, images)


def _can_flip(
    inputs: tf.Tensor, kernel: tf.Tensor, strides: int, padding: str
) -> bool:
    """True if the gradient by the inputs is a convolution of the same shape."""
    size = kernel.shape[0]
    return (
        inputs.dtype == tf.float32
        and (strides, padding) == (1, "SAME")
        and size % 2 == 1
    )


def _by_flipping(
    kernel: tf.Tensor, upstream: tf.Tensor, images: int
) -> tf.Tensor:
    """Gradient to the inputs, as a convolution with the flipped kernel."""
    back = tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2])
    wide = tf.nn.conv2d(_side_by_side(upstream, images), back, 1, "SAME")
    return _apart(wide, images)


def _native_to_kernel(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    upstream: tf.Tensor,
    strides: int,
    padding: str,
) -> tf.Tensor:
    return keras_compat.conv2d_kernel_gradient(
        inputs, kernel.shape, upstream, strides, padding
    )


def _by_products(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    upstream: tf.Tensor,
    strides: int,
    padding: str,
) -> tf.Tensor:
    """The kernel's gradient: one product of matrices per position."""
    size, _, channels, outputs = kernel.shape
    if padding == "SAME" and size > 1:
        pads = [(size - 1) // 2, size // 2]
        inputs = tf.pad(inputs, [[0, 0], pads, pads, [0, 0]])
    rows, columns = upstream.shape[1:3]
    pixels = tf.reshape(upstream, [-1, outputs])
    phases = _phases(inputs, strides)

    def at(row: int, column: int) -> tf.Tensor:
        phase = phases[row % strides][column % strides]
        top, left = row // strides, column // strides
        seen = phase[:, top : top + rows, left : left + columns]
        return tf.matmul(
            tf.reshape(seen, [-1, channels]), pixels, transpose_a=True
        )

    positions = [
        at(row, column) for row in range(size) for column in range(size)
    ]
    return tf.reshape(tf.stack(positions), kernel.shape)


def _phases(images: tf.Tensor, strides: int) -> list[list[tf.Tensor]]:
    """Every `strides`-th row and column, from each first row and column.

    Slices with a stride copy pixel by pixel; one transposition copies channels
    in a row.

    Args:
      images: (N, H, W, C).
      strides: s.

    Returns:
      s x s tensors (N, ceil(H / s), ceil(W / s), C).
    """
    if strides == 1:
        return [[images]]
    _, height, width, channels = images.shape
    pads = [[0, -side % strides] for side in (height, width)]
    images = tf.pad(images, [[0, 0], *pads, [0, 0]])
    height, width = (-(-side // strides) for side in (height, width))
    apart = tf.transpose(
        tf.reshape(images, [-1, height, strides, width, strides, channels]),
        [2, 4, 0, 1, 3, 5],
    )
    return [
        [apart[row, column] for column in range(strides)]
        for row in range(strides)
    ]
