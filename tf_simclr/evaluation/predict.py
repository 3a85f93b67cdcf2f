"""Running a network over a whole split."""

import collections
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.failure import naming_bad_images
from tf_simclr.data.sources.image_set import ImageSet


class Predictor:
    """Runs a network in inference mode over whole splits.

    Args:
      network: maps a batch of images to named outputs.
      names: which outputs to keep, such as `final_avg_pool`.
      image_size: side of the evaluation view.
      batch_size: images at a time.
      max_batches: stops after so many; 0 for all.
    """

    def __init__(
        self,
        network: keras.Model,
        names: Sequence[str],
        *,
        image_size: int,
        batch_size: int,
        max_batches: int = 0,
    ):
        self._image_size = image_size
        self._batch_size = batch_size
        self._max_batches = max_batches

        # One trace for whole batches and for the last, smaller one.
        views = tf.TensorSpec([None, image_size, image_size, 3])

        @tf.function(input_signature=[views], autograph=False)
        def forward(batch: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = network(batch, training=False)
            return {name: outputs[name] for name in names}

        self._forward = forward

    def __call__(self, images: ImageSet) -> dict[str, np.ndarray]:
        """The named outputs for every image, once and in order.

        Returns:
          {name: float32 (N, ...)} and `label` int32 (N,).

        Raises:
          DataFailed: an image cannot be read.
        """
        found: dict[str, list[np.ndarray]] = collections.defaultdict(list)
        for _, outputs in self.stream(images):
            for name, value in outputs.items():
                found[name].append(value)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def stream(
        self, images: ImageSet
    ) -> Iterator[tuple[tf.Tensor, dict[str, np.ndarray]]]:
        """The same batch by batch, for sets larger than memory.

        Yields:
          The views (n, image_size, image_size, 3), and what a call returns
          for them.

        Raises:
          DataFailed: an image cannot be read.
        """
        batches = evaluation_batches(images, self._batch_size, self._image_size)
        with naming_bad_images(images):
            for batch in batches.take(self._max_batches or -1):
                outputs = {**self.run(batch["image"]), "label": batch["label"]}
                yield (
                    batch["image"],
                    {name: value.numpy() for name, value in outputs.items()},
                )

    def run(self, views: tf.Tensor) -> dict[str, tf.Tensor]:
        """The named outputs for views (n, image_size, image_size, 3)."""
        return self._forward(views)
