"""`finish`, compiled by XLA for the CPU, one view after another.

TensorFlow's operations run one by one, each of them through memory: some fifty
passes over a view. XLA makes a few loops of them. It compiles for fixed shapes
and takes a second for it, so this is for work that goes on for longer.
"""

from collections.abc import Callable

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.affine import draw_flips, mirror
from tf_simclr.data.augment.blur import blur_kernel_size, blur_plan, blur_taps
from tf_simclr.data.augment.color import (
    NO_OPERATION,
    grayscale,
    jitter_operations,
    jitter_plan,
)
from tf_simclr.data.augment.keys import Stream
from tf_simclr.data.augment.make import split_draws
from tf_simclr.data.threads import with_threads

Finish = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def compiled_finish(config: AugmentConfig, *, of_crops: bool) -> Finish:
    """A compiled version of `finish`; its results agree up to rounding.

    Args:
      config: which parts of the augmentation are on, and how strong.
      of_crops: whether the function takes crops, which it also flips, or
        planes.

    Returns:
      A function of crops float32 (B, S, S, 3), white being 255, or planes
      float32 (B, 3, S, S), white being 1, all dimensions known, and draws
      (B, N). It returns images float32 (B, S, S, 3) in [0, 1].
    """

    def finish_one(view: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        parts = split_draws(draws[tf.newaxis], config)
        planes = view
        if of_crops:
            planes = tf.transpose(view, (2, 0, 1)) / 255
            if Stream.FLIP in parts:
                flips = draw_flips(parts[Stream.FLIP], config.flip_probability)
                planes = mirror(planes[tf.newaxis], flips)[0]
        if Stream.COLOR_JITTER in parts:
            planes = _recolor(planes[tf.newaxis], parts, config)[0]
        planes = tf.clip_by_value(planes, 0.0, 1.0)
        if Stream.BLUR in parts:
            planes = _blur(planes, parts[Stream.BLUR], config)
        return tf.transpose(planes, (1, 2, 0))

    @tf.function(jit_compile=True)
    def finish(views: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        if views.shape[0] == 1:
            return finish_one(views[0], draws[0])[tf.newaxis]
        return tf.map_fn(
            lambda one: finish_one(*one),
            (views, draws),
            fn_output_signature=tf.float32,
        )

    return finish


def can_compile() -> bool:
    """True if XLA works within `tf.data` here; some builds lack it."""

    @tf.function(jit_compile=True)
    def negative(number: tf.Tensor) -> tf.Tensor:
        return -number

    try:
        # Tried now, also where a graph is being made.
        with tf.init_scope():
            dataset = tf.data.Dataset.from_tensors(1.0).map(negative)
            dataset = with_threads(dataset)
            return float(next(iter(dataset))) == -1.0
    except tf.errors.OpError:
        return False


def _recolor(
    planes: tf.Tensor, parts: dict[Stream, tf.Tensor], config: AugmentConfig
) -> tf.Tensor:
    """Jitter and grayscale of one view: (1, 3, S, S)."""
    orders, factors = jitter_plan(
        parts[Stream.COLOR_JITTER],
        config.color_jitter_strength,
        config.color_jitter_probability,
        config.brightness,
    )
    operations = jitter_operations(config.brightness)
    branches = [
        lambda planes, operation=operation, factor=factor: tf.clip_by_value(
            operation(planes, factor), 0.0, 1.0
        )
        for operation, factor in zip(operations, factors, strict=True)
    ]
    branches.insert(NO_OPERATION, tf.identity)
    # Grayscale comes last, as one more operation.
    is_gray = parts[Stream.GRAYSCALE] < config.grayscale_probability
    last = tf.where(is_gray, len(branches), NO_OPERATION)
    branches.append(grayscale)
    orders = tf.concat([orders, last], axis=1)[0]

    def apply(position: tf.Tensor, planes: tf.Tensor) -> tuple:
        planes = tf.switch_case(
            orders[position],
            [lambda branch=branch: branch(planes) for branch in branches],
        )
        return position + 1, planes

    # A loop: five choices in a row take XLA many times as long to compile.
    _, planes = tf.while_loop(
        lambda position, _: position < len(operations) + 1, apply, (0, planes)
    )
    return planes


def _blur(
    planes: tf.Tensor, numbers: tf.Tensor, config: AugmentConfig
) -> tf.Tensor:
    """`random_blur` of one view: (3, S, S)."""
    size = planes.shape[1]
    radius = blur_kernel_size(size) // 2
    if radius == 0:
        return planes
    chosen, sigma = blur_plan(numbers, config.blur_probability)
    taps = blur_taps(sigma, radius)[0]

    def along(planes: tf.Tensor, axis: int) -> tf.Tensor:
        paddings = [[0, 0], [0, 0], [0, 0]]
        paddings[axis] = [radius, radius]
        padded = tf.pad(planes, paddings)

        def shifted(tap: int) -> tf.Tensor:
            window = [slice(None)] * 3
            window[axis] = slice(tap, tap + size)
            return padded[tuple(window)]

        total = taps[radius] * planes
        for tap in range(radius):
            total += taps[tap] * (shifted(tap) + shifted(2 * radius - tap))
        return tf.clip_by_value(total, 0.0, 1.0)

    def apply(step: tf.Tensor, planes: tf.Tensor) -> tuple:
        return step + 1, tf.cond(
            step == 0, lambda: along(planes, 2), lambda: along(planes, 1)
        )

    # A loop over the two axes, not at all for a sharp view. In a row, XLA
    # would fuse both and blur along the first anew for each tap of the second.
    steps = 2 * tf.cast(chosen[0], tf.int32)
    _, planes = tf.while_loop(lambda step, _: step < steps, apply, (0, planes))
    return planes
