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
from tf_simclr.data.views.resize import (
    crop_and_resize_image,
    crop_and_resize_planes,
)


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
    if Stream.AFFINE in parts:
        images = _affine(from_planes(planes), parts[Stream.AFFINE], config)
        planes = to_planes(images)
    return tf.ensure_shape(planes, (None, 3, image_size, image_size))


def place_image(
    image: tf.Tensor,
    box: tf.Tensor,
    draws: tf.Tensor,
    config: AugmentConfig,
    image_size: int,
) -> tf.Tensor:
    """`place` for one image of any size, without a matrix product.

    Args:
      image: uint8 (H, W, 3).
      box: int32 (4,): y, x, height, width.
      draws: float32 (N,), a row of what `draw` drew.
      config: which parts of the augmentation are on, and how strong.
      image_size: S, the side of the view.

    Returns:
      float32 (S, S, 3), not clipped.
    """
    parts = split_draws(draws[tf.newaxis], config)
    flip = None
    if Stream.FLIP in parts:
        flip = draw_flips(parts[Stream.FLIP], config.flip_probability)[0]
    view = crop_and_resize_image(image, box, image_size, flip)
    if Stream.AFFINE in parts:
        view = _affine(view[tf.newaxis], parts[Stream.AFFINE], config)[0]
    return tf.ensure_shape(view, (image_size, image_size, 3))


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
    images: tf.Tensor, numbers: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    return random_affine(
        images,
        numbers,
        config.rotate_degrees,
        config.shear_degrees,
        config.translate_fraction,
    )
