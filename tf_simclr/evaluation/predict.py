"""Running a network over a whole split."""

import collections
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet


class Predictor:
    """Runs a network in inference mode over whole splits.

    The replicas that the network was built for share the images; each image
    is computed once, whatever their number.

    Args:
      network: maps a batch of images to named outputs.
      names: which outputs to keep, such as `final_avg_pool`.
      image_size: side of the evaluation view.
      batch_size: images at a time, over all replicas.
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
        self._strategy = network.distribute_strategy

        def on_replica(images: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = network(images, training=False)
            return {name: outputs[name] for name in names}

        @tf.function(reduce_retracing=True)
        def forward(images: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = self._strategy.run(on_replica, args=(images,))
            return {
                name: self._strategy.gather(value, axis=0)
                for name, value in outputs.items()
            }

        self._forward = forward

    def __call__(self, images: ImageSet) -> dict[str, np.ndarray]:
        """The named outputs for every image, once and in order.

        Returns:
          {name: float32 (N, ...)} and `label` int32 (N,).
        """
        count = len(images)
        if self._max_batches:
            count = min(count, self._max_batches * self._batch_size)
        found: dict[str, list[np.ndarray]] = collections.defaultdict(list)
        for batch in self._distributed_batches(images, count):
            for name, value in self._forward(batch["image"]).items():
                found[name].append(value.numpy())
        outputs = {
            name: np.concatenate(parts)[:count] for name, parts in found.items()
        }
        return {**outputs, "label": images.labels[:count]}

    def _distributed_batches(
        self, images: ImageSet, count: int
    ) -> tf.distribute.DistributedDataset:
        """The first `count` images in parts of one size, one per replica.

        The last one is repeated until all parts are full: where shapes never
        change, nothing is compiled twice and no replica is left without work.
        """
        replicas = self._strategy.num_replicas_in_sync
        size = -(-min(self._batch_size, count) // replicas)
        rounds = -(-count // (size * replicas))
        places = np.arange(rounds * replicas * size)
        indices = np.minimum(places, count - 1)

        def per_machine(
            context: tf.distribute.InputContext,
        ) -> tf.data.Dataset:
            # (round, machine, the images of a machine's replicas).
            parts = indices.reshape(rounds, context.num_input_pipelines, -1)
            here = parts[:, context.input_pipeline_id].ravel()
            return evaluation_batches(images, size, self._image_size, here)

        return self._strategy.distribute_datasets_from_function(per_machine)
