"""Crop boxes: random ones for training, central ones for evaluation.

A box is (y, x, height, width) in whole pixels.
"""

import tensorflow as tf

# Evaluation's central crop shows so much of the side that limits it.
SHOWN = 0.875
# A crop must show at least this share of the image, whatever `min_area` is.
_MIN_COVERED = 0.1


def crop_uniform_count(min_area: float) -> int:
    """Number of random numbers that an image's random box takes.

    Two for each attempt and two for the place. With a small `min_area` one
    attempt in twenty fails (every second one if the image is eight times as
    wide as high), so ten are enough. Where most of the image must be kept, few
    aspect ratios fit: then it is a hundred, as in the original release.

    Args:
      min_area: what `random_crop_boxes` is called with.
    """
    attempts = 10 if min_area <= 0.25 else 100
    return 2 * attempts + 2


def random_crop_boxes(
    uniforms: tf.Tensor,
    heights: tf.Tensor,
    widths: tf.Tensor,
    min_area: float,
    aspect: float,
) -> tf.Tensor:
    """Random boxes, distributed like the original release's.

    It calls `tf.image.sample_distorted_bounding_box`, so this follows that
    operation: an aspect ratio (width / height), uniform between 3/4 and 4/3 of
    the target's; a height, uniform over the integers that keep the area
    between `min_area` and 1; the width that goes with them; a place, uniform
    but never touching the bottom or right edge. A box that shows less than a
    tenth of the image is drawn again, and if every attempt fails, the box is
    the whole image.

    Args:
      uniforms: float32 (B, crop_uniform_count(min_area)) in [0, 1).
      heights: (B,), the images' heights in pixels.
      widths: (B,), their widths.
      min_area: smallest share of the image's area, in (0, 1].
      aspect: width / height of what the crop will be resized to.

    Returns:
      float32 (B, 4), whole numbers.
    """
    heights = tf.cast(heights, tf.float32)[:, tf.newaxis]
    widths = tf.cast(widths, tf.float32)[:, tf.newaxis]
    attempts = crop_uniform_count(min_area) // 2 - 1
    ratio_draws, height_draws, place_draws = tf.split(
        uniforms, [attempts, attempts, 2], axis=1
    )

    ratios = aspect * (3 / 4 + (4 / 3 - 3 / 4) * ratio_draws)
    areas = heights * widths
    lowest, highest = _height_bounds(heights, widths, ratios, min_area)
    crop_heights = lowest + tf.floor(height_draws * (highest - lowest + 1))
    # Rounding the width may lose just too much area: then one row more.
    too_small = (
        crop_heights * tf.round(crop_heights * ratios) < min_area * areas
    )
    crop_heights += tf.cast(too_small, tf.float32)
    crop_widths = tf.round(crop_heights * ratios)
    crop_areas = crop_heights * crop_widths
    fits = (
        (crop_areas >= min_area * areas)
        & (crop_areas / areas >= _MIN_COVERED)
        & (crop_heights <= heights)
        & (crop_widths <= widths)
    )
    first = tf.argmax(fits, axis=1)
    found = tf.reduce_any(fits, axis=1, keepdims=True)
    crops = tf.stack([crop_heights, crop_widths], axis=-1)
    wholes = tf.concat([heights, widths], axis=1)
    sizes = tf.where(found, tf.gather(crops, first, batch_dims=1), wholes)
    margins = wholes - sizes
    return tf.concat([tf.floor(place_draws * margins), sizes], axis=1)


def center_crop_boxes(
    heights: tf.Tensor,
    widths: tf.Tensor,
    target_height: int,
    target_width: int,
    proportion: float = SHOWN,
) -> tf.Tensor:
    """Central boxes with the target's aspect ratio, as in the original.

    The box takes `proportion` of the side that limits it, and of the other
    side what the aspect ratio asks for.

    Args:
      heights: (B,), the images' heights in pixels.
      widths: (B,), their widths.
      target_height: height of what the crop will be resized to.
      target_width: its width.
      proportion: share of the limiting side.

    Returns:
      float32 (B, 4), whole numbers.
    """
    sizes = tf.stack([heights, widths], axis=1)
    sizes = tf.cast(sizes, tf.float32)
    target = tf.constant([target_height, target_width], tf.float32)
    scales = tf.reduce_min(sizes / target, axis=1, keepdims=True)
    crops = tf.round(proportion * scales * target)
    offsets = tf.math.floordiv(sizes - crops + 1, 2)
    return tf.concat([offsets, crops], axis=1)


def whole_boxes(heights: tf.Tensor, widths: tf.Tensor) -> tf.Tensor:
    """Boxes (B, 4) that cover the images."""
    heights, widths = tf.cast(heights, tf.float32), tf.cast(widths, tf.float32)
    zeros = tf.zeros_like(heights)
    return tf.stack([zeros, zeros, heights, widths], axis=1)


def _height_bounds(
    heights: tf.Tensor, widths: tf.Tensor, ratios: tf.Tensor, min_area: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The lowest and the highest crop of each aspect ratio, in pixels."""
    areas = heights * widths
    lowest = tf.round(tf.sqrt(min_area * areas / ratios))
    highest = tf.round(tf.sqrt(areas / ratios))
    too_wide = tf.round(highest * ratios) > widths
    highest = tf.where(too_wide, tf.floor((widths + 0.5) / ratios), highest)
    highest = tf.minimum(highest, heights)
    return tf.minimum(lowest, highest), highest
