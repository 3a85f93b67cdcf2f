"""scikit-learn's 1,797 handwritten digits, which need no download."""

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.source import Source

# Ink values run from 0 to 16 on an 8x8 grid.
INK_MAX = 16.0
TEST_FRACTION = 0.2
# Fixes the split once and for all, whatever --seed is.
SPLIT_SEED = 0


def load_digits(image_size: int) -> Source:
    """The digits, resized to `image_size`, as a train and a test split.

    The split is stratified and fixed: 1,437 images for training and 360 for
    testing, each in a fixed random order.
    """
    import tensorflow as tf
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    ink = tf.constant(digits.images[..., None] / INK_MAX, tf.float32)
    resized = tf.image.resize(ink, [image_size, image_size], method="bicubic")
    pixels = np.round(np.clip(resized.numpy(), 0.0, 1.0) * 255.0)
    images = np.repeat(pixels.astype(np.uint8), 3, axis=-1)
    labels = digits.target.astype(np.int32)
    parts = train_test_split(
        np.arange(len(labels)),
        test_size=TEST_FRACTION,
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    splits = {
        name: ImageSet(
            name=name,
            pixels=ArrayPixels(images[indices]),
            labels=labels[indices],
            class_names=tuple(str(name) for name in digits.target_names),
            ids=tuple(f"digits/{index:04d}" for index in indices),
        )
        for name, indices in zip(("train", "test"), parts, strict=True)
    }
    return Source(splits, scanned=True)
