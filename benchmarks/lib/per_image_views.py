"""Pairs of views by a plain `tf.data` graph, one image after another.

What a first version would be: each operation of the augmentation on one image
at a time, under `tf.cond` where it is random, as the original release
structures it. Without blur, which the original leaves to the device.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    Pixels,
    RecordPixels,
)

_ASPECTS = (3 / 4, 4 / 3)
_AUTO = tf.data.AUTOTUNE


def per_image_dataset(
    images: np.ndarray | ImageSet, image_size: int, batch_size: int
) -> tf.data.Dataset:
    """Pairs of views of random images, without end.

    Args:
      images: uint8 (N, H, W, 3), or images in memory, in JPEG files or in
        shards of these.
      image_size: S, the side of a view.
      batch_size: images of a batch.

    Yields:
      Two float32 tensors (batch_size, S, S, 3) in [0, 1].
    """
    pixels = images.pixels if isinstance(images, ImageSet) else None
    items, load = stored(ArrayPixels(images) if pixels is None else pixels)

    def pair(item: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = load(item)
        if image.dtype == tf.string:
            image = tf.image.decode_jpeg(image, channels=3)
        return _view(image, image_size), _view(image, image_size)

    return (
        items.map(pair, num_parallel_calls=_AUTO, deterministic=False)
        .batch(batch_size, drop_remainder=True)
        .prefetch(_AUTO)
    )


def stored(
    pixels: Pixels,
) -> tuple[tf.data.Dataset, Callable[[tf.Tensor], tf.Tensor]]:
    """An endless dataset of items, and what turns one into an image: uint8
    (H, W, 3), or the bytes of a file as a string scalar."""
    count = len(pixels)
    if isinstance(pixels, RecordPixels):
        items = tf.data.TFRecordDataset(list(pixels.shards)).repeat()
        features = {pixels.feature: tf.io.FixedLenFeature([], tf.string)}

        def parse(item: tf.Tensor) -> tf.Tensor:
            return tf.io.parse_single_example(item, features)[pixels.feature]

        return items.shuffle(min(count, 1024)), parse
    if isinstance(pixels, FilePixels):
        paths = [pixels.path(index) for index in range(count)]
        items = tf.data.Dataset.from_tensor_slices(paths)
        return items.shuffle(count).repeat(), tf.io.read_file
    array = tf.constant(pixels.array)
    items = tf.data.Dataset.range(count).shuffle(count).repeat()
    return items, lambda index: array[index]


def _view(image: tf.Tensor, size: int) -> tf.Tensor:
    """One view, float32 (size, size, 3), of an image uint8 (H, W, 3)."""
    config = AugmentConfig()
    view = _random_crop(image, size, config.crop_min_area)
    view = tf.image.random_flip_left_right(view)
    view = _sometimes(
        config.color_jitter_probability,
        lambda: _jitter(view, config.color_jitter_strength),
        view,
    )
    view = _sometimes(
        config.grayscale_probability,
        lambda: tf.tile(tf.image.rgb_to_grayscale(view), (1, 1, 3)),
        view,
    )
    return tf.clip_by_value(tf.ensure_shape(view, (size, size, 3)), 0.0, 1.0)


def _random_crop(image: tf.Tensor, size: int, min_area: float) -> tf.Tensor:
    begin, extent, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        min_object_covered=0.1,
        aspect_ratio_range=_ASPECTS,
        area_range=(min_area, 1.0),
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    crop = tf.image.convert_image_dtype(
        tf.slice(image, begin, extent), tf.float32
    )
    return tf.image.resize(crop, (size, size), method="bicubic")


def _jitter(view: tf.Tensor, strength: float) -> tf.Tensor:
    """Four changes of color, in random order, clipped after each."""
    spread = 0.8 * strength
    low, high = max(0.0, 1.0 - spread), 1.0 + spread
    order = tf.random.shuffle(tf.range(4))
    for place in range(4):
        changes = [
            lambda v=view: v * tf.random.uniform([], low, high),
            lambda v=view: tf.image.random_contrast(v, low, high),
            lambda v=view: tf.image.random_saturation(v, low, high),
            lambda v=view: tf.image.random_hue(v, 0.2 * strength),
        ]
        view = tf.switch_case(order[place], changes)
        view = tf.clip_by_value(view, 0.0, 1.0)
    return view


def _sometimes(
    probability: float, change: Callable[[], tf.Tensor], view: tf.Tensor
) -> tf.Tensor:
    return tf.cond(tf.random.uniform([]) < probability, change, lambda: view)
