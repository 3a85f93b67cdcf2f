"""Training batches from images in memory, whole batches at a time."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_simclr.data.augment.color import to_planes
from tf_simclr.data.augment.make import place
from tf_simclr.data.augment.spec import ViewSpec
from tf_simclr.data.decode import traced_decoder, traced_geometry
from tf_simclr.data.order import Locate, batches_of
from tf_simclr.data.same_image import example_ids
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, Size, on_host
from tf_simclr.data.threads import with_threads
from tf_simclr.process import cached

# Images up to this size are kept in memory unasked.
_SMALL = 64
# Decoded images may take 2 GiB.
_MOST_BYTES = 2**31


def decoded_images(
    images: ImageSet, image_size: int | None = None
) -> tf.data.Dataset:
    """Every image once, in order: uint8 (H, W, 3).

    Args:
      images: any images.
      image_size: side of evaluation's view of them, for which JPEG files may
        be decoded at a lower scale; None decodes them whole.
    """
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        return tf.data.Dataset.from_tensor_slices(pixels.array)

    decode = traced_decoder(pixels.how, images.framing, image_size)
    return tf.data.Dataset.range(len(images)).map(
        lambda index: decode(pixels.encoded(index)),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )


def keep_decoded(
    images: ImageSet, wanted: bool, most_bytes: int = _MOST_BYTES
) -> ImageSet:
    """Decodes a data set into memory, where that is possible and sensible.

    All images must have one size: to bring them to one would change the
    distribution of random crops.

    Args:
      images: any images.
      wanted: whether to do so for images of more than 64 pixels a side.
      most_bytes: that the decoded images may take.

    Returns:
      The same images in memory; or `images` itself where they are large, of
      several sizes, or would take too many bytes.
    """
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        return images
    encoded = pixels.encoded(tf.constant(0))
    height, width, _ = traced_geometry()(encoded).numpy()
    shape = (len(images), height, width, 3)
    too_much = np.prod(shape, dtype=np.int64) > most_bytes
    if too_much or (not wanted and max(height, width) > _SMALL):
        return images
    array = np.empty(shape, np.uint8)
    decoded = with_threads(decoded_images(images).prefetch(64))
    for index, image in enumerate(decoded):
        if image.shape != shape[1:]:
            return images
        array[index] = image
    return dataclasses.replace(images, pixels=ArrayPixels(array, pixels.how))


Batch = dict[str, tf.Tensor]

# Above this size, or where images are much larger than their views, images
# one by one are faster than matrix products on batches.
_LARGEST_VIEW = 64
_LARGEST_SHRINKING = 2.5


def is_batched(images: ImageSet, image_size: int) -> bool:
    """True if `array_batches` makes the batches of these images best."""
    if not isinstance(images.pixels, ArrayPixels):
        return False
    largest = max(images.pixels.size)
    if images.framing.antialias and largest > image_size:
        # Matrices of four weights a pixel cannot.
        return False
    return (
        image_size <= _LARGEST_VIEW
        and largest <= _LARGEST_SHRINKING * image_size
    )


def share_size(spec: ViewSpec, batch_size: int) -> int:
    """Images of a batch that are worked on together."""
    if spec.lends_blur:
        return batch_size
    return _largest_divisor(batch_size, spec.limits.share)


def share_loader(
    images: ImageSet, spec: ViewSpec, size: int, total: int
) -> Callable[[tf.Tensor, tf.Tensor], Batch]:
    """A function that makes the finished views of a share of a batch.

    It is traced once, however many data sets call it.

    Args:
      images: what to train on.
      spec: the views.
      size: images of a share.
      total: how many images a whole run takes.

    Returns:
      A function of epochs and indices, int64 (size,). It returns {name:
      float32 (size, S, S, 3)}, `label` int32 (size,) and `index` int64
      (size,), equal for equal images.
    """
    pixels = on_host(images.pixels.array)
    labels = on_host(images.labels)
    ids = example_ids(images)
    make = _view_maker(
        spec, size, images.pixels.size, compiles=spec.compiles(total)
    )
    positions = tf.TensorSpec([size], tf.int64)

    @tf.function(autograph=False, input_signature=[positions, positions])
    def load(epochs: tf.Tensor, indices: tf.Tensor) -> Batch:
        return {
            **make(tf.gather(pixels, indices), epochs, indices),
            "label": tf.gather(labels, indices),
            "index": ids(indices),
        }

    return load


# A pipeline trains several stages on the same views.
@cached(maxsize=8)
def _view_maker(
    spec: ViewSpec, size: int, image: Size, *, compiles: bool
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A function that makes the finished views of a share of a batch, traced
    once for all data sets with images of one size.

    Args:
      spec: the views.
      size: images of a share.
      image: their height and width.
      compiles: whether XLA compiles a part of it.

    Returns:
      A function of images uint8 (size, H, W, 3), epochs and indices int64
      (size,). It returns {name: float32 (size, S, S, 3)}.
    """
    finishes = spec.finishes(compiles=compiles, of_crops=False)
    positions = tf.TensorSpec([size], tf.int64)
    stored = tf.TensorSpec([size, *image, 3], tf.uint8)

    @tf.function(
        autograph=False, input_signature=[stored, positions, positions]
    )
    def make(
        images: tf.Tensor, epochs: tf.Tensor, indices: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        boxes = _boxes(spec, images, epochs, indices)
        draws = spec.draws(epochs, indices)
        planes = to_planes(images)
        views = {}
        for view, name in enumerate(spec.names):
            placed = place(
                planes,
                boxes[:, view],
                draws[:, view],
                spec.augments[view],
                spec.image_size,
            )
            views[name] = finishes[view](placed, draws[:, view])
        return views

    return make


def array_batches(
    load: Callable[[tf.Tensor, tf.Tensor], Batch],
    locate: Locate,
    spec: ViewSpec,
    batch_size: int,
    start_step: int | tf.Tensor,
    stop_step: int | tf.Tensor,
) -> tf.data.Dataset:
    """Batches of finished views.

    Args:
      load: from `share_loader`, of this `share_size`.
      locate: which image stands where.
      spec: the views.
      batch_size: images of a batch.
      start_step, stop_step: which batches.

    Yields:
      {name: float32 (batch_size, S, S, 3)}, `label` int32 (batch_size,) and
      `index` int64 (batch_size,).
    """
    share = share_size(spec, batch_size)
    order = batches_of(
        locate, share, start_step * batch_size, stop_step * batch_size
    )
    shares = order.map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    if share == batch_size:
        return shares

    def join(batch: Batch) -> Batch:
        return {
            name: tf.reshape(value, (batch_size, *value.shape[2:]))
            for name, value in batch.items()
        }

    return shares.batch(batch_size // share, drop_remainder=True).map(join)


def unmade_array_batches(
    images: ImageSet,
    locate: Locate,
    spec: ViewSpec,
    batch_size: int,
    start_step: int | tf.Tensor,
    stop_step: int | tf.Tensor,
) -> tf.data.Dataset:
    """Batches for `ViewSpec.make`: images and what is drawn for them.

    Takes what `array_batches` takes.

    Yields:
      `images` uint8 (batch_size, H, W, 3), `boxes`, `draws`, `label`, `index`.
    """
    pixels = on_host(images.pixels.array)
    labels = on_host(images.labels)
    ids = example_ids(images)

    def load(epochs: tf.Tensor, indices: tf.Tensor) -> Batch:
        # What is known of the batch, the step's graph is planned by.
        epochs, indices = (
            tf.ensure_shape(part, [batch_size]) for part in (epochs, indices)
        )
        stored = tf.gather(pixels, indices)
        return {
            "images": stored,
            "boxes": _boxes(spec, stored, epochs, indices),
            "draws": spec.draws(epochs, indices),
            "label": tf.gather(labels, indices),
            "index": ids(indices),
        }

    order = batches_of(
        locate, batch_size, start_step * batch_size, stop_step * batch_size
    )
    return order.map(
        load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _boxes(
    spec: ViewSpec, images: tf.Tensor, epochs: tf.Tensor, indices: tf.Tensor
) -> tf.Tensor:
    height, width = images.shape[1:3]
    count = tf.shape(indices)
    return spec.boxes(
        epochs, indices, tf.fill(count, height), tf.fill(count, width)
    )


def _largest_divisor(number: int, limit: int) -> int:
    """The largest divisor up to a limit; the number if all are small.

    A resumed run must divide its batches as before, since some operations
    round differently at the end of a tensor.
    """
    best = max(d for d in range(1, limit + 1) if number % d == 0)
    return best if 4 * best > limit else number
