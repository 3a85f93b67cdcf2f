"""`finish`, compiled by XLA for the CPU, one view after another.

TensorFlow's operations run one by one, each of them through memory: some fifty
passes over a view. XLA makes a few loops of them. It compiles for fixed shapes
and takes a second for it, so this is for work that goes on for longer.
"""

from collections.abc import Callable

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.views.blur import blur_kernel_size, blur_plan, blur_taps
from tf_simclr.data.views.color import (
    NO_OPERATION,
    grayscale,
    jitter_operations,
    jitter_plan,
)
from tf_simclr.data.views.draws import split_draws
from tf_simclr.data.views.keys import Stream

Finish = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def compiled_finish(
    config: AugmentConfig, image_size: int, *, of_images: bool
) -> Finish:
    """A compiled version of `finish`; its results agree up to rounding.

    Args:
      config: which parts of the augmentation are on, and how strong.
      image_size: S, the side of the views.
      of_images: whether the function takes images or planes.

    Returns:
      A function of images (B, S, S, 3) or planes (B, 3, S, S), B known, and
      draws (B, N), which returns images (B, S, S, 3).
    """
    radius = blur_kernel_size(image_size) // 2
    blurs = config.use_blur and radius > 0

    def recolor(view: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        planes = tf.transpose(view, (2, 0, 1)) if of_images else view
        planes = _recolor(planes[tf.newaxis], draws[tf.newaxis], config)[0]
        return planes if blurs else tf.transpose(planes, (1, 2, 0))

    def blur_rows(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return _blur_axis(planes, draws, config, radius, axis=2)

    def blur_columns(planes: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        planes = _blur_axis(planes, draws, config, radius, axis=1)
        return tf.transpose(tf.clip_by_value(planes, 0.0, 1.0), (1, 2, 0))

    # Each axis on its own: one fused loop would blur along the first axis
    # again for every tap of the second.
    steps = [recolor] + [blur_rows, blur_columns] * blurs
    compiled = [_each(step) for step in steps]

    def finish(views: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        for step in compiled:
            views = step(views, draws)
        return views

    return finish


def can_compile() -> bool:
    """Whether XLA works within `tf.data` here: not in every build it does."""

    @tf.function(jit_compile=True)
    def negative(number: tf.Tensor) -> tf.Tensor:
        return -number

    try:
        dataset = tf.data.Dataset.from_tensors(1.0).map(negative)
        return float(next(iter(dataset))) == -1.0
    except tf.errors.OpError:
        return False


def _each(function: Finish) -> Finish:
    """Compiles a function of one view and its draws (N,) for a batch."""

    @tf.function(jit_compile=True)
    def run(views: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda one: function(*one),
            (views, draws),
            fn_output_signature=tf.float32,
        )

    return run


def _recolor(
    planes: tf.Tensor, draws: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    """Jitter, grayscale and clip of one view: (1, 3, S, S)."""
    parts = split_draws(draws, config)
    if Stream.COLOR_JITTER in parts:
        planes = _jitter(planes, parts[Stream.COLOR_JITTER], config)
        planes = tf.cond(
            parts[Stream.GRAYSCALE][0, 0] < config.grayscale_probability,
            lambda: grayscale(planes),
            lambda: planes,
        )
    return tf.clip_by_value(planes, 0.0, 1.0)


def _jitter(
    planes: tf.Tensor, numbers: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    """`color_jitter` of one view: (1, 3, S, S)."""
    orders, factors = jitter_plan(
        numbers,
        config.color_jitter_strength,
        config.color_jitter_probability,
        config.brightness,
    )
    operations = jitter_operations(config.brightness)

    def apply(position: tf.Tensor, planes: tf.Tensor) -> tuple:
        branches = [
            lambda operation=operation, factor=factor: tf.clip_by_value(
                operation(planes, factor), 0.0, 1.0
            )
            for operation, factor in zip(operations, factors, strict=True)
        ]
        branches.insert(NO_OPERATION, lambda: planes)
        return position + 1, tf.switch_case(orders[0, position], branches)

    # A loop: four choices in a row take XLA many times as long to compile.
    _, planes = tf.while_loop(
        lambda position, _: position < len(operations), apply, (0, planes)
    )
    return planes


def _blur_axis(
    planes: tf.Tensor,
    draws: tf.Tensor,
    config: AugmentConfig,
    radius: int,
    axis: int,
) -> tf.Tensor:
    """`random_blur` of one view (3, S, S) along one axis."""
    numbers = split_draws(draws[tf.newaxis], config)[Stream.BLUR]
    chosen, sigma = blur_plan(numbers, config.blur_probability)
    size = planes.shape[axis]

    def blurred() -> tf.Tensor:
        taps = blur_taps(sigma, radius)[0]
        paddings = [[0, 0], [0, 0], [0, 0]]
        paddings[axis] = [radius, radius]
        padded = tf.pad(planes, paddings)
        total = tf.zeros_like(planes)
        for tap in range(2 * radius + 1):
            window = [slice(None)] * 3
            window[axis] = slice(tap, tap + size)
            total += taps[tap] * padded[tuple(window)]
        return total

    return tf.cond(chosen[0], blurred, lambda: planes)
