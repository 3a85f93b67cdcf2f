"""Horizontal flips."""

import tensorflow as tf


def draw_flips(uniforms: tf.Tensor, probability: float) -> tf.Tensor:
    """Which images to flip: bool (B,), from uniforms (B, 1) in [0, 1)."""
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
