"""Training batches from image files of any size, image by image.

Of each image, read once, only the part that its crops show is decoded.
"""

from collections.abc import Callable

import tensorflow as tf

from tf_simclr.data.augment.resize import crop_and_resize_image, cut
from tf_simclr.data.augment.spec import ViewSpec
from tf_simclr.data.decode import (
    decode_reduced_window,
    decode_window,
    traced_geometry,
)
from tf_simclr.data.orientation import UPRIGHT, stored_boxes
from tf_simclr.data.same_image import example_ids
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, on_host
from tf_simclr.process import cached

Item = dict[str, tf.Tensor]

# Images that are planned together: a few are as fast as many.
_SHARE = 32


def file_batches(
    images: ImageSet,
    spec: ViewSpec,
    order: tf.data.Dataset,
    batch_size: int,
    total: int,
) -> tf.data.Dataset:
    """Batches of finished views.

    Args:
      images: what to train on.
      spec: the views.
      order: batches of (epochs, indices).
      batch_size: images of a batch.
      total: how many images a whole run takes.

    Yields:
      {name: float32 (batch_size, S, S, 3)}, `label` int32 (batch_size,) and
      `index` int64 (batch_size,), equal for equal images.
    """
    decode = window_decoder(images, spec.image_size)
    finishes = spec.finishes(compiles=spec.compiles(total), of_crops=True)

    def load(item: Item) -> Item:
        image, boxes = decode(item)
        views = {}
        for view, name in enumerate(spec.names):
            crop = crop_and_resize_image(
                image, boxes[view], spec.image_size, images.framing
            )
            # One by one: what lies in the caches is worked on.
            draws = item["draws"][view : view + 1]
            views[name] = finishes[view](crop[tf.newaxis], draws)[0]
        return {**views, "label": item["label"], "index": item["index"]}

    return (
        planned(images, spec, order, batch_size)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(
            batch_size,
            drop_remainder=True,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
    )


def unmade_file_batches(
    images: ImageSet, spec: ViewSpec, order: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """Batches for `ViewSpec.make`: decoded pixels and what is drawn for them.

    Each image comes as the smallest window around its crops, with black below
    and to the right of it up to the largest window of the batch. Crops of
    very large windows are resized here; then the image is a column of these,
    and its boxes are their places in it. So a batch never has more bytes than
    its finished views.

    Args:
      images: what to train on.
      spec: the views.
      order: batches of (epochs, indices).
      batch_size: images of a batch.

    Yields:
      `images` uint8 (batch_size, H, W, 3), `boxes` float32 (batch_size, V, 4),
      `draws` float32 (batch_size, V, N), `label` int32 (batch_size,), `index`
      int64 (batch_size,).
    """
    size = spec.image_size
    decode = window_decoder(images, size)
    # The device resizes as the original release does: by four weights a pixel.
    longest = 0 if images.framing.antialias else int(spec.limits.window * size)

    def column(window: tf.Tensor, boxes: tf.Tensor) -> tuple:
        crops = [
            crop_and_resize_image(window, box, size, images.framing)
            for box in tf.unstack(boxes)
        ]
        places = [[view * size, 0, size, size] for view in range(len(crops))]
        crops = tf.round(tf.concat(crops, axis=0))
        return tf.saturate_cast(crops, tf.uint8), tf.constant(places)

    def load(item: Item) -> Item:
        window, boxes = decode(item)
        window, boxes = tf.cond(
            tf.reduce_max(tf.shape(window)) > longest,
            lambda: column(window, boxes),
            lambda: (window, boxes),
        )
        return {
            "images": tf.ensure_shape(window, (None, None, 3)),
            "boxes": tf.cast(boxes, tf.float32),
            "draws": item["draws"],
            "label": item["label"],
            "index": item["index"],
        }

    return (
        planned(images, spec, order, batch_size)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .padded_batch(batch_size, drop_remainder=True)
    )


def planned(
    images: ImageSet, spec: ViewSpec, order: tf.data.Dataset, batch_size: int
) -> tf.data.Dataset:
    """One item per image: what is stored of it, and what is drawn for it.

    Yields:
      `stored`, from `_reader`; `window` int32 (4,), the smallest box around
      all crops, in the image as it is stored; `orientation` int32 scalar;
      `boxes` int32 (V, 4), the crops within the window, upright; `draws`
      float32 (V, N); `label` int32 scalar; `index` int64 scalar.
    """
    read = _reader(images)
    labels = on_host(images.labels)
    ids = example_ids(images)

    def add_image(epoch: tf.Tensor, index: tf.Tensor) -> tuple:
        return epoch, index, *read(index)

    make_plan = _plan_maker(spec)

    def plan(
        epochs: tf.Tensor,
        indices: tf.Tensor,
        stored: tf.Tensor,
        geometry: tf.Tensor,
    ) -> Item:
        return {
            **make_plan(epochs, indices, geometry),
            "stored": stored,
            "label": tf.gather(labels, indices),
            "index": ids(indices),
        }

    return (
        order.unbatch()
        .map(add_image, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size if spec.lends_blur else _SHARE)
        .map(plan)
        .unbatch()
    )


# The picture of views and the training of a stage plan the same views.
@cached(maxsize=8)
def _plan_maker(
    spec: ViewSpec,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Item]:
    """A function that plans the views of n images, traced once for all data
    sets.

    Args:
      spec: the views.

    Returns:
      A function of epochs and indices, int64 (n,), and of the geometry, int32
      (n, 3). It returns `window`, `orientation`, `boxes` and `draws` of
      `planned`, for all n.
    """
    positions = tf.TensorSpec([None], tf.int64)

    @tf.function(
        autograph=False,
        input_signature=[
            positions,
            positions,
            tf.TensorSpec([None, 3], tf.int32),
        ],
    )
    def plan(
        epochs: tf.Tensor, indices: tf.Tensor, geometry: tf.Tensor
    ) -> Item:
        sizes, orientations = geometry[:, :2], geometry[:, 2]
        boxes = spec.boxes(epochs, indices, sizes[:, 0], sizes[:, 1])
        boxes = tf.cast(boxes, tf.int32)
        first = tf.reduce_min(boxes[..., :2], axis=1)
        last = tf.reduce_max(boxes[..., :2] + boxes[..., 2:], axis=1)
        windows = tf.concat([first, last - first], axis=1)
        offsets = tf.pad(first[:, tf.newaxis], [[0, 0], [0, 0], [0, 2]])
        return {
            "window": stored_boxes(windows, sizes, orientations),
            "orientation": orientations,
            "boxes": boxes - offsets,
            "draws": spec.draws(epochs, indices),
        }

    return plan


def _reader(images: ImageSet) -> Callable[[tf.Tensor], tuple]:
    """A function of an image's index: what to decode, and the geometry."""
    pixels = images.pixels
    if isinstance(pixels, ArrayPixels):
        geometry = tf.constant([*pixels.size, UPRIGHT])
        return lambda index: (index, geometry)

    geometry_of = traced_geometry()

    def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        encoded = pixels.encoded(index)
        return encoded, geometry_of(encoded)

    return read


def window_decoder(
    images: ImageSet, image_size: int
) -> Callable[[Item], tuple[tf.Tensor, tf.Tensor]]:
    """Makes a decoder of the part of an image that its crops show.

    Args:
      images: where they lie.
      image_size: S, the side of the views.

    Returns:
      A function of an item of `planned`. It returns the item's window, uint8
      (H, W, 3), and the boxes within it, int32 (V, 4).
    """
    pixels, framing = images.pixels, images.framing
    if isinstance(pixels, ArrayPixels):
        array = on_host(pixels.array)
        return lambda item: (
            cut(array[item["stored"]], item["window"]),
            item["boxes"],
        )

    def decode(item: Item) -> tuple[tf.Tensor, tf.Tensor]:
        where = (item["stored"], item["window"], item["orientation"])
        boxes = item["boxes"]
        if not framing.antialias:
            return decode_window(*where, pixels.how), boxes
        scale = framing.scale(tf.reduce_min(boxes[:, 2:]), image_size)
        image, scale, begins = decode_reduced_window(*where, pixels.how, scale)
        first, last = (
            boxes[:, :2] + begins,
            boxes[:, :2] + boxes[:, 2:] + begins,
        )
        return image, _reduced(first, last, scale, tf.shape(image)[:2])

    return decode


def _reduced(
    first: tf.Tensor, last: tf.Tensor, scale: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """The nearest boxes int32 (V, 4) in an image reduced to `size` (2,)."""
    first = tf.minimum((first + scale // 2) // scale, size - 1)
    last = tf.clip_by_value((last + scale // 2) // scale, first + 1, size)
    return tf.concat([first, last - first], axis=1)
