"""Random numbers of each view, drawn ahead of the work; making views of them.

Drawing takes keys and yields a box (where to crop) and draws (the random
numbers of all that follows the crop). Making takes these and pixels, and can
happen elsewhere, such as on another device.
"""

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.affine import (
    AFFINE_UNIFORMS,
    draw_flips,
    mirror,
    random_affine,
)
from tf_simclr.data.augment.blur import BLUR_UNIFORMS, random_blur
from tf_simclr.data.augment.color import (
    JITTER_UNIFORMS,
    color_jitter,
    from_planes,
    has_size,
    random_grayscale,
    to_planes,
)
from tf_simclr.data.augment.crop import (
    crop_uniform_count,
    random_crop_boxes,
    whole_boxes,
)
from tf_simclr.data.augment.keys import Stream, uniforms
from tf_simclr.data.augment.resize import crop_and_resize_planes

_UNUSED = 1


def draw_boxes(
    keys: tf.Tensor, heights: tf.Tensor, widths: tf.Tensor, min_area: float
) -> tf.Tensor:
    """Draws the box of each view; it covers the image if `min_area` is 1.

    Args:
      keys: uint64 (B,), from `view_keys`.
      heights: (B,), the images' heights in pixels.
      widths: (B,), their widths.
      min_area: smallest share of the image's area, in (0, 1].

    Returns:
      float32 (B, 4): y, x, height, width.
    """
    if min_area == 1:
        return whole_boxes(heights, widths)
    numbers = uniforms(keys, Stream.CROP, crop_uniform_count(min_area))
    return random_crop_boxes(numbers, heights, widths, min_area, aspect=1.0)


def draw(keys: tf.Tensor, config: AugmentConfig) -> tf.Tensor:
    """The random numbers of all that follows the crop.

    Args:
      keys: uint64 (B,), from `view_keys`: those of a whole batch, whose first
        image lends all its blur's width where --blur_sigma=per_batch.
      config: which parts of the augmentation are on.

    Returns:
      float32 (B, N) in [0, 1), for `split_draws`.
    """
    # Never without a column: `tf.data` crashes on tensors without elements.
    columns = [tf.zeros((tf.shape(keys)[0], _UNUSED))]
    for stream, count in _parts(config):
        numbers = uniforms(keys, stream, count)
        if stream == Stream.BLUR and config.blur_sigma == "per_batch":
            chosen, width = numbers[:, :1], numbers[:1, 1:]
            width = tf.broadcast_to(width, tf.shape(chosen))
            numbers = tf.concat([chosen, width], axis=1)
        columns.append(numbers)
    return tf.concat(columns, axis=1)


def split_draws(
    draws: tf.Tensor, config: AugmentConfig
) -> dict[Stream, tf.Tensor]:
    """Splits the numbers of `draw` by part, float32 (B, ...) each."""
    columns, start = {}, _UNUSED
    for stream, count in _parts(config):
        columns[stream] = draws[:, start : start + count]
        start += count
    return columns


def _parts(config: AugmentConfig) -> list[tuple[Stream, int]]:
    """The parts after the crop that are on, and how many numbers each takes."""
    parts = []
    if config.flip_probability > 0:
        parts.append((Stream.FLIP, 1))
    if config.has_affine:
        parts.append((Stream.AFFINE, AFFINE_UNIFORMS))
    if config.color_jitter_strength > 0:
        parts.append((Stream.COLOR_JITTER, JITTER_UNIFORMS))
        parts.append((Stream.GRAYSCALE, 1))
    if config.use_blur:
        parts.append((Stream.BLUR, BLUR_UNIFORMS))
    return parts


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
    """Does the part of `place` after crop and resize: flip, affine.

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
