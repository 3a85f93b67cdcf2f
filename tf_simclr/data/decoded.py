"""Images as they are stored, decoded; and small data sets kept that way."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_simclr.data.decode import decode_image, read_geometry
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels

# Images up to this size are kept in memory unasked.
_SMALL = 64
# Decoded images may take so many bytes.
_MOST_BYTES = 2**31


def decoded_images(images: ImageSet) -> tf.data.Dataset:
    """Every image once, in order: uint8 (H, W, 3)."""
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        return tf.data.Dataset.from_tensor_slices(pixels.array)
    return tf.data.Dataset.range(len(images)).map(
        lambda index: decode_image(pixels.encoded(index)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def keep_decoded(images: ImageSet, wanted: bool) -> ImageSet:
    """Decodes a data set into memory, where that is possible and sensible.

    All images must have one size: to bring them to one would change the
    distribution of random crops.

    Args:
      images: any images.
      wanted: whether to do so for images of more than 64 pixels a side.

    Returns:
      The same images in memory; or `images` itself where they are large, of
      several sizes, or would take more than 2 GiB.
    """
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        return images
    height, width, _ = read_geometry(pixels.encoded(tf.constant(0))).numpy()
    shape = (len(images), height, width, 3)
    too_much = np.prod(shape, dtype=np.int64) > _MOST_BYTES
    if too_much or (not wanted and max(height, width) > _SMALL):
        return images
    array = np.empty(shape, np.uint8)
    for index, image in enumerate(decoded_images(images).prefetch(64)):
        if image.shape != shape[1:]:
            return images
        array[index] = image
    return dataclasses.replace(images, pixels=ArrayPixels(array))
