"""Horizontal flips; random rotation, shear and translation."""

import math

import tensorflow as tf

from tf_simclr import keras_compat


def draw_flips(uniforms: tf.Tensor, probability: float) -> tf.Tensor:
    """Draws the images to flip: bool (B,), from uniforms (B, 1) in [0, 1)."""
    return uniforms[:, 0] < probability


def mirror(planes: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Flips some images horizontally.

    Args:
      planes: (B, C, H, W).
      mirrored: bool (B,), which ones.

    Returns:
      Planes of the same shape and dtype.
    """
    chosen = mirrored[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return tf.where(chosen, tf.reverse(planes, (3,)), planes)


AFFINE_UNIFORMS = 4
"""How many random numbers `random_affine` takes for an image."""


def random_affine(
    images: tf.Tensor,
    uniforms: tf.Tensor,
    rotate_degrees: float,
    shear_degrees: float,
    translate_fraction: float,
) -> tf.Tensor:
    """Rotates, shears and shifts every image by random amounts.

    About the image's centre, with bilinear interpolation; what comes from
    outside the image is black.

    Args:
      images: float32 (B, H, W, C).
      uniforms: float32 (B, AFFINE_UNIFORMS) in [0, 1).
      rotate_degrees: largest rotation, either way.
      shear_degrees: largest horizontal shear, either way, below 90.
      translate_fraction: largest shift on each axis, as a share of that side.

    Returns:
      float32 (B, H, W, C).
    """
    signed = 2 * uniforms - 1
    height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
    return warp(
        images,
        angles=signed[:, 0] * math.radians(rotate_degrees),
        shears=tf.tan(signed[:, 1] * math.radians(shear_degrees)),
        shifts_y=signed[:, 2] * translate_fraction * height,
        shifts_x=signed[:, 3] * translate_fraction * width,
    )


def warp(
    images: tf.Tensor,
    angles: tf.Tensor,
    shears: tf.Tensor,
    shifts_y: tf.Tensor,
    shifts_x: tf.Tensor,
) -> tf.Tensor:
    """Shears, then rotates, then shifts every image by its own amounts.

    Args:
      images: float32 (B, H, W, C).
      angles: float32 (B,), clockwise rotation in radians.
      shears: float32 (B,), pixels moved to the right per pixel downwards.
      shifts_y: float32 (B,), pixels moved down.
      shifts_x: float32 (B,), pixels moved to the right.

    Returns:
      float32 (B, H, W, C).
    """
    size = tf.shape(images)[1:3]
    center_y, center_x = tf.unstack((tf.cast(size, tf.float32) - 1) / 2)
    cos, sin = tf.cos(angles), tf.sin(angles)
    # The operation asks where an output pixel comes from: the inverse map,
    # x' = xx * x + xy * y + x0, y' = yx * x + yy * y + y0.
    yx, yy = -sin, cos
    xx, xy = cos - shears * yx, sin - shears * yy
    from_x, from_y = center_x + shifts_x, center_y + shifts_y
    x0 = center_x - xx * from_x - xy * from_y
    y0 = center_y - yx * from_x - yy * from_y
    zeros = tf.zeros_like(angles)
    return keras_compat.projective_transform(
        images,
        tf.stack([xx, xy, x0, yx, yy, y0, zeros, zeros], axis=1),
        size,
    )
