"""Batches of views and labels, as `tf.data` datasets."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.order import sample_order
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.views.keys import view_keys
from tf_simclr.data.views.policy import (
    evaluation_view,
    training_view,
    two_views,
)

Batch = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class TrainingBatches:
    """The endless, resumable stream of training batches.

    Attributes:
      images: what to train on.
      augment: how views are made.
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
        self,
        batch_size: int,
        start_step: int | tf.Tensor,
        stop_step: int | tf.Tensor,
    ) -> tf.data.Dataset:
        """Batches of the steps start_step ... stop_step - 1.

        Views are float32 (batch_size, image_size, image_size, 3) in [0, 1],
        labels int32 (batch_size,), -1 where unknown. What a batch holds
        depends on seed, step and batch size alone.
        """
        # Outside the graph of whoever asks: so many bytes are no constant.
        with tf.init_scope():
            pixels = tf.constant(self.images.images)
            labels = tf.constant(self.images.labels)

        def load(epochs: tf.Tensor, indices: tf.Tensor) -> Batch:
            batch = {"label": tf.gather(labels, indices)}
            images = tf.gather(pixels, indices)
            if self.contrastive:
                batch["view1"], batch["view2"] = two_views(
                    images,
                    epochs,
                    indices,
                    self.seed,
                    self.augment,
                    self.image_size,
                )
            else:
                keys = view_keys(self.seed, epochs, indices, view=0)
                batch["image"] = training_view(
                    images, keys, self.augment, self.image_size
                )
            return batch

        order = sample_order(
            len(self.images),
            self.seed,
            batch_size,
            start_step * batch_size,
            stop_step * batch_size,
        )
        return order.map(
            load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        ).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    images: ImageSet,
    batch_size: int,
    image_size: int,
    indices: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Every image once, in order, without augmentation; the last batch may
    be smaller.

    Args:
      images: the split.
      batch_size: images at a time.
      image_size: side of the view.
      indices: which images instead, in which order; one may come again.

    Yields:
      `image` float32 (n, image_size, image_size, 3), `label` int32 (n,).
    """
    pixels = tf.constant(images.images)
    labels = tf.constant(images.labels)

    def load(indices: tf.Tensor) -> Batch:
        return {
            "image": evaluation_view(tf.gather(pixels, indices), image_size),
            "label": tf.gather(labels, indices),
        }

    if indices is None:
        indices = np.arange(len(images))
    indices = tf.data.Dataset.from_tensor_slices(indices)
    return (
        indices.batch(batch_size)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )
