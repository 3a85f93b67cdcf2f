"""Making views of what was drawn."""

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.views.affine import random_affine
from tf_simclr.data.views.blur import random_blur
from tf_simclr.data.views.color import color_jitter, random_grayscale
from tf_simclr.data.views.draws import split_draws
from tf_simclr.data.views.flip import draw_flips, mirror
from tf_simclr.data.views.keys import Stream
from tf_simclr.data.views.planes import from_planes, has_size, to_planes
from tf_simclr.data.views.resize import crop_and_resize_planes


def make_views(
    planes: tf.Tensor,
    boxes: tf.Tensor,
    draws: tf.Tensor,
    config: AugmentConfig,
    image_size: int,
) -> tf.Tensor:
    """Makes one view of every image.

    Args:
      planes: float32 (B, 3, H, W) in [0, 1].
      boxes: float32 (B, 4), from `draw_boxes`.
      draws: from `draw`.
      config: which parts of the augmentation are on, and how strong.
      image_size: S, the side of the view.

    Returns:
      float32 (B, S, S, 3) in [0, 1].
    """
    planes = place(planes, boxes, draws, config, image_size)
    return from_planes(finish(planes, draws, config))


def place(
    planes: tf.Tensor,
    boxes: tf.Tensor,
    draws: tf.Tensor,
    config: AugmentConfig,
    image_size: int,
) -> tf.Tensor:
    """The first half of `make_views`: crop and resize, flip, affine.

    Returns:
      float32 (B, 3, S, S), not clipped.
    """
    parts = split_draws(draws, config)
    flips = None
    if Stream.FLIP in parts:
        flips = draw_flips(parts[Stream.FLIP], config.flip_probability)
    if config.crop_min_area < 1 or not has_size(planes, image_size):
        planes = crop_and_resize_planes(
            planes, boxes, image_size, image_size, flips
        )
    elif flips is not None:
        planes = mirror(planes, flips)
    planes = _affine(planes, parts, config)
    return tf.ensure_shape(planes, (None, 3, image_size, image_size))


def move(
    planes: tf.Tensor, draws: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    """What `place` does after crop and resize: flip, affine.

    Args:
      planes: float32 (B, 3, S, S).
      draws: from `draw`.
      config: which parts of the augmentation are on, and how strong.

    Returns:
      float32 (B, 3, S, S).
    """
    parts = split_draws(draws, config)
    if Stream.FLIP in parts:
        flips = draw_flips(parts[Stream.FLIP], config.flip_probability)
        planes = mirror(planes, flips)
    return _affine(planes, parts, config)


def finish(
    planes: tf.Tensor, draws: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    """The second half of `make_views`: jitter, grayscale, clip, blur.

    Args:
      planes: float32 (B, 3, S, S), S known.
      draws: from `draw`.
      config: which parts of the augmentation are on, and how strong.

    Returns:
      float32 (B, 3, S, S) in [0, 1].
    """
    parts = split_draws(draws, config)
    if Stream.COLOR_JITTER in parts:
        planes = color_jitter(
            planes,
            parts[Stream.COLOR_JITTER],
            config.color_jitter_strength,
            config.color_jitter_probability,
            config.brightness,
        )
        planes = random_grayscale(
            planes, parts[Stream.GRAYSCALE], config.grayscale_probability
        )
    planes = tf.clip_by_value(planes, 0.0, 1.0)
    if Stream.BLUR in parts:
        planes = random_blur(
            planes, parts[Stream.BLUR], config.blur_probability
        )
    return planes


def _affine(
    planes: tf.Tensor, parts: dict[Stream, tf.Tensor], config: AugmentConfig
) -> tf.Tensor:
    if Stream.AFFINE not in parts:
        return planes
    images = random_affine(
        from_planes(planes),
        parts[Stream.AFFINE],
        config.rotate_degrees,
        config.shear_degrees,
        config.translate_fraction,
    )
    return to_planes(images)
