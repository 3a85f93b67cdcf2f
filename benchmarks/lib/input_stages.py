"""Processor time of each stage of making views from image files, alone."""

import dataclasses
import time
from collections.abc import Callable

import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.resize import crop_and_resize_image
from tf_simclr.data.augment.spec import ViewSpec
from tf_simclr.data.file_batches import planned, window_decoder
from tf_simclr.data.sources.image_set import ImageSet

VIEWS = ("view1", "view2")
# More images than any run has: views are made by the way of long runs.
_ENDLESS = 2**40
# Pipelines take a while to start; so many images outweigh it.
_LEAST_IMAGES = 1000
NOTHING = AugmentConfig(
    flip_probability=0.0, color_jitter_strength=0.0, use_blur=False
)
# What is on in the stages after the crop; each also brings bytes to [0, 1].
FINISHES = {
    "color jitter": dataclasses.replace(
        NOTHING, color_jitter_strength=1.0, grayscale_probability=0.0
    ),
    "grayscale": dataclasses.replace(
        NOTHING, color_jitter_strength=1.0, color_jitter_probability=0.0
    ),
    "blur": dataclasses.replace(NOTHING, use_blur=True),
}
TOGETHER = "jitter, grayscale and blur in one"
TRANSFER = "batch and transfer"
# Hold several stages.
SUMS = (TOGETHER, "reading, choosing crops")
Item = dict[str, tf.Tensor]
Stage = Callable[[tf.data.Dataset], tf.data.Dataset]


def stage_milliseconds(
    images: ImageSet, image_size: int, batch_size: int, repeats: int
) -> dict[str, list[float]]:
    """Milliseconds of each stage for a pair of views.

    What a stage works on is made before, and lies in memory.

    Args:
      images: image files, in a folder or in shards.
      image_size: side of a view.
      batch_size: images that go to the device together.
      repeats: how often each stage is measured.

    Returns:
      {stage: core-milliseconds per image, for both views}.
    """
    passes = -(-_LEAST_IMAGES // len(images))
    found: dict[str, list[float]] = {}
    for name, (items, stage) in _stages(images, image_size, batch_size).items():
        items = items.repeat(passes)
        made = stage(items)
        to_device = name == TRANSFER

        def cost(made=made, items=items, to_device=to_device) -> float:
            spent = _spent(made, to_device=to_device) - _spent(items)
            return 1000 * max(0.0, spent) / (passes * len(images))

        # Keeps what the stage works on, and warms it up.
        cost()
        found[name] = [cost() for _ in range(repeats)]
    return found


def slowest(found: dict[str, float]) -> str:
    """The stage that costs most; not what sums up others."""
    single = {name: cost for name, cost in found.items() if name not in SUMS}
    return max(single, key=single.get)


def _stages(
    images: ImageSet, image_size: int, batch_size: int
) -> dict[str, tuple[tf.data.Dataset, Stage]]:
    """Of each stage what it works on, and what it does to it."""
    count = len(images)
    spec = ViewSpec(AugmentConfig(), image_size, 0, VIEWS)
    numbers = tf.range(count, dtype=tf.int64)
    epochs = tf.zeros_like(numbers)
    order = tf.data.Dataset.from_tensor_slices((epochs, numbers))
    order = order.batch(batch_size)
    decode_item = window_decoder(images, image_size)

    def read(_: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
        return images.pixels.encoded(index)

    def decode(index: tf.Tensor, item: Item) -> tuple:
        return index, *decode_item(item)

    def crop(index: tf.Tensor, window: tf.Tensor, boxes: tf.Tensor) -> tuple:
        crops = [
            crop_and_resize_image(window, boxes[view], image_size)
            for view in range(len(VIEWS))
        ]
        return index, tf.stack(crops)

    def finish(config: AugmentConfig) -> Stage:
        variant = dataclasses.replace(spec, augment=config)
        draws = variant.draws(epochs, numbers)
        compiles = variant.compiles(_ENDLESS)
        finishes = variant.finishes(compiles=compiles, of_crops=True)
        function = finishes[0]

        def apply(index: tf.Tensor, crops: tf.Tensor) -> tf.Tensor:
            views = [
                function(crops[view : view + 1], draws[index, view : view + 1])
                for view in range(len(VIEWS))
            ]
            return tf.concat(views, axis=0)

        return _mapped(apply)

    items = planned(images, spec, order, batch_size).enumerate().cache()
    windows = _mapped(decode)(items).cache()
    crops = _mapped(crop)(windows).cache()
    views = finish(AugmentConfig())(crops).cache()
    return {
        "reading": (order, lambda order: _mapped(read)(order.unbatch())),
        "reading, choosing crops": (
            order,
            lambda order: planned(images, spec, order, batch_size),
        ),
        "decoding": (items, _mapped(decode)),
        "crop and resize": (windows, _mapped(crop)),
        **{name: (crops, finish(on)) for name, on in FINISHES.items()},
        TOGETHER: (crops, finish(AugmentConfig())),
        TRANSFER: (views, lambda made: made.batch(batch_size)),
    }


def _mapped(function: Callable) -> Stage:
    return lambda items: items.map(
        function, num_parallel_calls=tf.data.AUTOTUNE
    )


def _spent(dataset: tf.data.Dataset, *, to_device: bool = False) -> float:
    """Seconds of processor time, of all threads, that a pass takes."""
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    device = "GPU:0" if to_device and has_gpu else "CPU:0"
    started = time.process_time()
    for made in dataset:
        if to_device:
            with tf.device(device):
                tf.identity(made)
    return time.process_time() - started
