"""Batches of views and labels, as `tf.data` datasets."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.array_batches import (
    Batch,
    array_batches,
    is_batched,
    unmade_array_batches,
)
from tf_simclr.data.decode import decode_image
from tf_simclr.data.file_batches import file_batches, unmade_file_batches
from tf_simclr.data.order import sample_order
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.views.policy import evaluation_image, evaluation_view
from tf_simclr.data.views.spec import ViewSpec

# Batches made ahead of the step that takes them.
_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """The endless, resumable stream of training batches.

    Attributes:
      images: what to train on.
      augment: how views are made, and where.
      image_size: side of a view.
      seed: keys order and augmentation.
      contrastive: whether a batch holds two views (`view1`, `view2`) or one
        (`image`); both kinds hold `label`.
    """

    images: ImageSet
    augment: AugmentConfig
    image_size: int
    seed: int
    contrastive: bool

    def dataset(
        self, batch_size: int, start_step: int, stop_step: int
    ) -> tf.data.Dataset:
        """What the host makes of the steps start_step ... stop_step - 1.

        `views` turns it into what a step takes. It depends on seed, step and
        batch size alone.
        """
        images, spec = self.images, self._spec
        on_device = self.augment.augment_on == "device"
        if is_batched(images, self.image_size):
            make = unmade_array_batches if on_device else array_batches
            batches = make(images, spec, batch_size, start_step, stop_step)
        else:
            order = sample_order(
                len(images),
                self.seed,
                batch_size,
                start_step * batch_size,
                stop_step * batch_size,
            )
            if on_device:
                batches = unmade_file_batches(images, spec, order, batch_size)
            else:
                total = stop_step * batch_size
                batches = file_batches(images, spec, order, batch_size, total)
        return _with_threads(batches.prefetch(_AHEAD))

    def views(self, batch: Batch) -> Batch:
        """The views of a batch of `dataset`, for use within the step.

        Returns:
          Views float32 (batch_size, image_size, image_size, 3) in [0, 1], and
          labels int32 (batch_size,), -1 where unknown.
        """
        if self.augment.augment_on == "host":
            return batch
        spec = self._spec
        made = spec.make(batch["images"], batch["boxes"], batch["draws"])
        return {**made, "label": batch["label"]}

    @property
    def _spec(self) -> ViewSpec:
        names = ("view1", "view2") if self.contrastive else ("image",)
        return ViewSpec(self.augment, self.image_size, self.seed, names)


def evaluation_batches(
    images: ImageSet, batch_size: int, image_size: int
) -> tf.data.Dataset:
    """Every image once, in order, without augmentation; the last batch may
    be smaller.

    Yields:
      `image` float32 (n, image_size, image_size, 3), `label` int32 (n,).
    """
    labels = tf.constant(images.labels)
    pixels = images.pixels
    indices = tf.data.Dataset.from_tensor_slices(np.arange(len(images)))
    if is_batched(images, image_size):
        array = tf.constant(pixels.array)

        def load_batch(indices: tf.Tensor) -> Batch:
            stored = tf.gather(array, indices)
            return {
                "image": evaluation_view(stored, image_size),
                "label": tf.gather(labels, indices),
            }

        batches = indices.batch(batch_size).map(
            load_batch, num_parallel_calls=tf.data.AUTOTUNE
        )
    else:
        if isinstance(pixels, ArrayPixels):
            array = tf.constant(pixels.array)
            stored = array.__getitem__
        else:

            def stored(index: tf.Tensor) -> tf.Tensor:
                return decode_image(pixels.encoded(index))

        def load(index: tf.Tensor) -> Batch:
            return {
                "image": evaluation_image(stored(index), image_size),
                "label": labels[index],
            }

        batches = indices.map(
            load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).batch(batch_size)
    return _with_threads(batches.prefetch(_AHEAD))


def _with_threads(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """One thread for each operation: calls run side by side instead."""
    options = tf.data.Options()
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options)
