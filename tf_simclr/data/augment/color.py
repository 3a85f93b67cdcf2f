"""Color distortion of planes (B, 3, H, W) with a factor for each image.

With the channels ahead of the rows, what mixes channels (hue, saturation,
gray) works on contiguous memory, and resizing is plain matrix products.
"""

import itertools
from collections.abc import Callable

import tensorflow as tf


def to_planes(images: tf.Tensor) -> tf.Tensor:
    """Turns images into float planes.

    Args:
      images: (B, H, W, C), uint8 (0 to 255) or float32 (0 to 1), C known.

    Returns:
      float32 (B, C, H, W), 0 to 1.
    """
    # Faster than `tf.transpose` by half on CPUs, and not `tf.stack`, which GPUs
    # leave to the host where it is about bytes.
    channels = tf.unstack(images, axis=3)
    planes = tf.concat([c[:, tf.newaxis] for c in channels], axis=1)
    return tf.image.convert_image_dtype(planes, tf.float32)


def from_planes(planes: tf.Tensor) -> tf.Tensor:
    """Turns planes (B, C, H, W) back into images (B, H, W, C)."""
    return tf.transpose(planes, (0, 2, 3, 1))


def image_sizes(planes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Heights and widths, float32 (B,) each, of images of one size."""
    batch, _, height, width = tf.unstack(tf.shape(planes))
    height, width = tf.cast(height, tf.float32), tf.cast(width, tf.float32)
    return tf.fill([batch], height), tf.fill([batch], width)


def has_size(planes: tf.Tensor, image_size: int) -> bool:
    """True if planes (..., H, W) are known to be (image_size, image_size)."""
    return tuple(planes.shape[2:]) == (image_size, image_size)


Operation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

JITTER_UNIFORMS = 6
"""How many random numbers `color_jitter` takes for an image."""

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, NO_OPERATION = range(5)
_ORDERS = tuple(
    itertools.permutations((_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE))
)
# The weights of `tf.image.rgb_to_grayscale`.
_LUMA = (0.2989, 0.5870, 0.1140)
# Keeps divisions by a gray pixel's chroma finite.
_TINY = 1e-20


def color_jitter(
    planes: tf.Tensor,
    uniforms: tf.Tensor,
    strength: float,
    probability: float,
    brightness_mode: str,
) -> tf.Tensor:
    """Changes brightness, contrast, saturation and hue in a random order.

    Brightness is multiplied by a number from U(max(0, 1 - 0.8 s), 1 + 0.8 s)
    ("multiplicative") or shifted by one from U(-0.8 s, 0.8 s) ("additive");
    contrast and saturation are multiplied by numbers from the former range;
    hue is shifted by U(-0.2 s, 0.2 s) of a turn. Pixels are clipped to [0, 1]
    after each of the four. (SimCLR, arXiv 2002.05709, appendix A; SimCLRv2's
    release.)

    Args:
      planes: float32 (B, 3, H, W), about [0, 1].
      uniforms: float32 (B, JITTER_UNIFORMS) in [0, 1).
      strength: s above.
      probability: of distorting an image at all; the others stay as they are.
      brightness_mode: "multiplicative" or "additive".

    Returns:
      float32 (B, 3, H, W).
    """
    orders, factors = jitter_plan(
        uniforms, strength, probability, brightness_mode
    )
    operations = jitter_operations(brightness_mode)
    images = tf.range(tf.shape(planes)[0])
    for position in range(len(operations)):
        # Each operation sees only the images whose turn it is.
        groups = tf.dynamic_partition(
            images, orders[:, position], NO_OPERATION + 1
        )
        results = [
            tf.clip_by_value(
                operation(tf.gather(planes, group), tf.gather(factor, group)),
                0.0,
                1.0,
            )
            for operation, factor, group in zip(
                operations, factors, groups[:NO_OPERATION], strict=True
            )
        ]
        results.append(tf.gather(planes, groups[NO_OPERATION]))
        planes = tf.dynamic_stitch(groups, results)
    return planes


def jitter_plan(
    uniforms: tf.Tensor,
    strength: float,
    probability: float,
    brightness_mode: str,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Operations that `color_jitter` applies to each image, and their
    strengths.

    Args:
      uniforms: float32 (B, JITTER_UNIFORMS) in [0, 1).
      strength, probability, brightness_mode: see `color_jitter`.

    Returns:
      int32 (B, 4), numbers of `jitter_operations` in the order in which they
      are applied, or NO_OPERATION; and for each operation its factors (B,).
    """
    chosen, order, *draws = tf.unstack(uniforms, axis=1)
    orders = tf.gather(_ORDERS, tf.cast(order * len(_ORDERS), tf.int32))
    orders = tf.where(chosen[:, tf.newaxis] < probability, orders, NO_OPERATION)
    return orders, _factors(draws, strength, brightness_mode)


def jitter_operations(brightness_mode: str) -> tuple[Operation, ...]:
    """The four operations: (planes, factors) -> planes, not clipped."""
    change_brightness = (
        adjust_brightness
        if brightness_mode == "multiplicative"
        else shift_brightness
    )
    return (
        change_brightness,
        adjust_contrast,
        adjust_saturation,
        adjust_hue,
    )


def random_grayscale(
    planes: tf.Tensor, uniforms: tf.Tensor, probability: float
) -> tf.Tensor:
    """Turns some images gray.

    Args:
      planes: float32 (B, 3, H, W).
      uniforms: float32 (B, 1) in [0, 1).
      probability: of turning an image gray.

    Returns:
      float32 (B, 3, H, W).
    """
    chosen = tf.cast(uniforms[:, 0] < probability, tf.int32)
    images = tf.range(tf.shape(planes)[0])
    groups = tf.dynamic_partition(images, chosen, 2)
    colored, gray = (tf.gather(planes, group) for group in groups)
    return tf.dynamic_stitch(groups, [colored, grayscale(gray)])


def adjust_brightness(planes: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Multiplies every image (B, 3, H, W) by its factor (B,)."""
    return planes * _per_image(factors)


def shift_brightness(planes: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Adds to every image (B, 3, H, W) its shift (B,)."""
    return planes + _per_image(shifts)


def adjust_contrast(planes: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Scales the distance from each channel's mean, as `tf.image` does.

    Args:
      planes: float32 (B, 3, H, W).
      factors: float32 (B,), not negative.

    Returns:
      float32 (B, 3, H, W), not clipped.
    """
    factors = _per_image(factors)
    means = tf.reduce_mean(planes, axis=(2, 3), keepdims=True)
    return planes * factors + means * (1 - factors)


def adjust_saturation(planes: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Scales the saturation of HSV, as `tf.image.adjust_saturation` does.

    In HSV, saturation is (V - min) / V and can be at most 1. Scaling it by k
    at the same hue and value V moves a channel from x to V - k (V - x).

    Args:
      planes: float32 (B, 3, H, W).
      factors: float32 (B,), not negative.

    Returns:
      float32 (B, 3, H, W).
    """
    red, green, blue = tf.unstack(planes, axis=1)
    value, chroma = _value_and_chroma(red, green, blue)
    factors = factors[:, tf.newaxis, tf.newaxis]
    factors = tf.minimum(factors, value / tf.maximum(chroma, _TINY))
    return tf.stack(
        [value - (value - x) * factors for x in (red, green, blue)], axis=1
    )


def adjust_hue(planes: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Turns the hue of HSV, as `tf.image.adjust_hue` does.

    Args:
      planes: float32 (B, 3, H, W).
      deltas: float32 (B,), in turns.

    Returns:
      float32 (B, 3, H, W).
    """
    red, green, blue = tf.unstack(planes, axis=1)
    value, chroma = _value_and_chroma(red, green, blue)
    # From the largest channel's own hue (red 0, green 1/3, blue 2/3), the hue
    # leans to the second largest by up to 1/6, in proportion to chroma.
    double = 2 * chroma
    sextuple = 6 * chroma
    lean = tf.where(
        tf.equal(value, red),
        green - blue,
        tf.where(
            tf.equal(value, green),
            blue - red + double,
            red - green + 2 * double,
        ),
    )
    hue = lean / tf.maximum(sextuple, _TINY)
    hue += deltas[:, tf.newaxis, tf.newaxis]
    hue -= tf.floor(hue)
    # Going round the circle, a channel stays at its largest for 1/6 of a turn
    # either way, then falls to the smallest within 1/6.
    high = value + chroma
    return tf.stack(
        [
            value - double + sextuple * _hue_distance(hue, 1 / 2),
            high - sextuple * _hue_distance(hue, 1 / 3),
            high - sextuple * _hue_distance(hue, 2 / 3),
        ],
        axis=1,
    )


def grayscale(planes: tf.Tensor) -> tf.Tensor:
    """Every channel becomes the luma, as in `tf.image.rgb_to_grayscale`.

    Args:
      planes: float32 (B, 3, H, W).

    Returns:
      float32 (B, 3, H, W), the three channels equal.
    """
    red, green, blue = tf.unstack(planes, axis=1)
    luma = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return tf.stack([luma, luma, luma], axis=1)


def _factors(
    draws: list[tf.Tensor], strength: float, brightness_mode: str
) -> list[tf.Tensor]:
    """The factors or shifts (B,) of the four operations."""
    spread = 0.8 * strength
    factor = (max(0.0, 1 - spread), 1 + spread)
    shift = (-spread, spread)
    brightness = factor if brightness_mode == "multiplicative" else shift
    hue = (-0.2 * strength, 0.2 * strength)
    ranges = (brightness, factor, factor, hue)
    return [
        low + (high - low) * draw
        for (low, high), draw in zip(ranges, draws, strict=True)
    ]


def _value_and_chroma(
    red: tf.Tensor, green: tf.Tensor, blue: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The largest channel, and how far the smallest is below it."""
    value = tf.maximum(tf.maximum(red, green), blue)
    return value, value - tf.minimum(tf.minimum(red, green), blue)


def _hue_distance(hue: tf.Tensor, center: float) -> tf.Tensor:
    """The distance from a hue, in turns, limited to [1/6, 1/3]."""
    return tf.clip_by_value(tf.abs(hue - center), 1 / 6, 1 / 3)


def _per_image(values: tf.Tensor) -> tf.Tensor:
    """(B,) as (B, 1, 1, 1)."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
