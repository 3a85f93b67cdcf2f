"""Running a network over a whole split."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.batches import evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.signals import stop_point


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A classifier's answers to a split.

    Attributes:
      labels: int (N,), -1 where unknown.
      logits: float (N, C).
      class_names: C names.
      ids: N names of images.
      total: images of the split, where not all of them were scored.
    """

    labels: np.ndarray
    logits: np.ndarray
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    total: int | None = None


def names_of(class_names: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """One name per class of a classifier: its number where none is known."""
    return tuple(class_names) or tuple(map(str, range(num_classes)))


Outputs = dict[str, np.ndarray]


class Predictor:
    """Runs a network in inference mode over whole splits.

    The replicas that the network was built for share the images; each image
    is computed once, whatever their number.

    Args:
      network: maps a batch of images to `NetworkOutputs`.
      names: which outputs to keep, such as `features`.
      image_size: side of the evaluation view.
      batch_size: images at a time, over all replicas.
    """

    def __init__(
        self,
        network: keras.Model,
        names: Sequence[str],
        *,
        image_size: int,
        batch_size: int,
    ):
        self._image_size = image_size
        self._batch_size = batch_size
        self._strategy = network.distribute_strategy

        def on_replica(images: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = network(images, training=False)
            return {name: getattr(outputs, name) for name in names}

        self._on_replica = on_replica

        @tf.function(autograph=False)
        def shared(images: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = self._strategy.run(on_replica, args=(images,))
            return {
                name: self._strategy.gather(value, axis=0)
                for name, value in outputs.items()
            }

        self._shared = shared

    @functools.cached_property
    def _forward(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        # One trace for whole batches and for the last, smaller one.
        views = tf.TensorSpec([None, self._image_size, self._image_size, 3])
        return tf.function(
            self._on_replica, input_signature=[views], autograph=False
        ).get_concrete_function()

    def __call__(self, images: ImageSet) -> Outputs:
        """The named outputs for every image, once and in order.

        Returns:
          {name: float32 (N, ...)} and `label` int32 (N,).

        Raises:
          DataFailed: an image cannot be read.
        """
        found: dict[str, list[np.ndarray]] = collections.defaultdict(list)
        for _, outputs in self._batches(images, with_views=False):
            for name, value in outputs.items():
                found[name].append(value)
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def stream(self, images: ImageSet) -> Iterator[tuple[tf.Tensor, Outputs]]:
        """Named outputs batch by batch, for sets larger than memory.

        Yields:
          The views (n, image_size, image_size, 3), and what a call returns
          for them.

        Raises:
          DataFailed: an image cannot be read.
        """
        yield from self._batches(images, with_views=True)

    def run(self, views: tf.Tensor) -> dict[str, tf.Tensor]:
        """The named outputs for views (n, image_size, image_size, 3)."""
        return self._forward(views)

    def _batches(
        self, images: ImageSet, *, with_views: bool
    ) -> Iterator[tuple[tf.Tensor | None, Outputs]]:
        with naming_bad_images(images):
            if self._strategy.num_replicas_in_sync > 1:
                found = self._by_all(images, with_views)
            else:
                found = self._by_one(images)
            for batch in found:
                stop_point()
                yield batch

    def _by_one(self, images: ImageSet) -> Iterator[tuple[tf.Tensor, Outputs]]:
        batches = evaluation_batches(images, self._batch_size, self._image_size)
        for batch in batches:
            outputs = {**self.run(batch["image"]), "label": batch["label"]}
            yield (
                batch["image"],
                {name: value.numpy() for name, value in outputs.items()},
            )

    def _by_all(
        self, images: ImageSet, with_views: bool
    ) -> Iterator[tuple[tf.Tensor | None, Outputs]]:
        count = len(images)
        start = 0
        for batch in self._distributed_batches(images):
            outputs = self._shared(batch["image"])
            # Beyond the last image, it is repeated.
            found = {k: v[: count - start].numpy() for k, v in outputs.items()}
            views = None
            if with_views:
                gathered = self._strategy.gather(batch["image"], axis=0)
                views = gathered[: count - start]
            stop = start + len(next(iter(found.values())))
            found["label"] = images.labels[start:stop]
            yield views, found
            start = stop

    def _distributed_batches(
        self, images: ImageSet
    ) -> tf.distribute.DistributedDataset:
        """The images in parts of one size, one per replica.

        The last one is repeated until all parts are full: where shapes never
        change, nothing is compiled twice and no replica is left without work.
        """
        replicas, count = self._strategy.num_replicas_in_sync, len(images)
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
