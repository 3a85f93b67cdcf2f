"""Gaussian blur with a width for each image."""

import tensorflow as tf

BLUR_UNIFORMS = 2
"""How many random numbers `random_blur` takes for an image: whether, and how
wide."""

_SIGMA_RANGE = (0.1, 2.0)
_NEGLIGIBLE = 1e-20


def gaussian_blur(
    planes: tf.Tensor, kernel_size: int, sigma: tf.Tensor | float
) -> tf.Tensor:
    """Blurs along both axes, with zeros around the image.

    Args:
      planes: float32 (B, C, H, W).
      kernel_size: an even size is taken as the next odd one. Below 2 there is
        nothing to blur with, and the planes come back as they are.
      sigma: float32 (B,), or one number for all; the width in pixels.

    Returns:
      float32 (B, C, H, W), the size kept.
    """
    radius = kernel_size // 2
    if radius == 0:
        return planes
    batch, channels, height, width = tf.unstack(tf.shape(planes))
    sigma = tf.broadcast_to(tf.cast(sigma, tf.float32), [batch])
    lines = tf.reshape(planes, (batch, channels * height, width))
    lines = tf.matmul(lines, _blur_matrices(sigma, radius, width))
    planes = tf.reshape(lines, (batch, channels, height, width))
    down = _blur_matrices(sigma, radius, height)
    return tf.matmul(down[:, tf.newaxis], planes)


def random_blur(
    planes: tf.Tensor, uniforms: tf.Tensor, probability: float
) -> tf.Tensor:
    """Blurs some images by random amounts.

    The width is U(0.1, 2) pixels and the kernel covers a tenth of the image's
    height (SimCLR, arXiv 2002.05709, appendix A). Images less than 20 pixels
    high stay as they are, since a tenth of that is a single pixel.

    Args:
      planes: float32 (B, C, H, W) in [0, 1], H known statically.
      uniforms: float32 (B, BLUR_UNIFORMS) in [0, 1).
      probability: of blurring an image.

    Returns:
      float32 (B, C, H, W) in [0, 1].
    """
    kernel_size = blur_kernel_size(planes.shape[2])
    if kernel_size < 2:
        return planes
    chosen, sigma = blur_plan(uniforms, probability)
    chosen = tf.cast(chosen, tf.int32)
    images = tf.range(tf.shape(planes)[0])
    groups = tf.dynamic_partition(images, chosen, 2)
    sharp, blurred = (tf.gather(planes, group) for group in groups)
    blurred = gaussian_blur(blurred, kernel_size, tf.gather(sigma, groups[1]))
    blurred = tf.clip_by_value(blurred, 0.0, 1.0)
    return tf.dynamic_stitch(groups, [sharp, blurred])


def blur_kernel_size(height: int) -> int:
    """The kernel for images of this height; below 2 there is no blur."""
    return height // 10


def blur_plan(
    uniforms: tf.Tensor, probability: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images that `random_blur` blurs, bool (B,), and their widths, (B,)."""
    low, high = _SIGMA_RANGE
    return uniforms[:, 0] < probability, low + (high - low) * uniforms[:, 1]


def blur_taps(sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Gaussian weights of sum 1: (B, 2 radius + 1) for widths (B,)."""
    exponents = (-0.5 / tf.square(sigma))[:, tf.newaxis]
    taps = tf.range(-radius, radius + 1, dtype=tf.float32)
    weights = tf.exp(exponents * tf.square(taps))
    # Processors take a hundred times as long for numbers next to nothing.
    weights = tf.where(weights < _NEGLIGIBLE, 0.0, weights)
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)


def _blur_matrices(
    sigma: tf.Tensor, radius: int, length: tf.Tensor
) -> tf.Tensor:
    """Symmetric banded matrices (B, length, length) that blur one axis."""
    places = tf.range(length)
    distances = tf.abs(places[:, tf.newaxis] - places)
    # One-sided taps, and a zero for all that is farther away.
    taps = blur_taps(sigma, radius)[:, radius:]
    taps = tf.pad(taps, [[0, 0], [0, 1]])
    return tf.gather(taps, tf.minimum(distances, radius + 1), axis=1)
