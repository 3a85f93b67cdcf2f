"""The memory of the paper: contrast examples from a moving average."""

import functools
from typing import Any

import tensorflow as tf

from tf_simclr.losses.nt_xent import embed
from tf_simclr.losses.queue import EmbeddingQueue
from tf_simclr.methods.job import Job
from tf_simclr.models.momentum import copy_weights, ema_pairs, ema_update
from tf_simclr.models.network import SimCLRNetwork


class ContrastMemory(tf.Module):
    """An averaged copy of encoder and head, and a queue of its embeddings.

    The copy embeds both views of the batch: an anchor's positive is the
    copy's embedding of the other view, its negatives are the copy's
    embeddings of the batch's other images and of past batches (SimCLRv2,
    appendix D; MoCo, arXiv 1911.05722). Like the network, the copy normalises
    with batch statistics.

    Args:
      network: the network in training.
      average: its copy, without a classifier.
      size: embeddings in the queue.
      momentum: decay of the average, in [0, 1].
      normalize: whether embeddings lie on the unit sphere.
      strategy: the devices.
    """

    def __init__(
        self,
        network: SimCLRNetwork,
        average: SimCLRNetwork,
        size: int,
        momentum: float,
        normalize: bool,
        strategy: tf.distribute.Strategy,
    ):
        super().__init__()
        self.average = average
        self.queue = EmbeddingQueue(size, average.embedding_dim)
        self._normalize = normalize
        copy_weights(network, average)
        # Not a list of its own: a checkpoint would name the network's
        # variables by their shorter way through the memory, where a later
        # stage does not look for them.
        self._follow = functools.partial(
            ema_update, ema_pairs(network, average), momentum, strategy
        )

    @property
    def state(self) -> dict[str, tf.Module]:
        """Its part of a checkpoint, by name."""
        return {"memory": self, "memory_ids": self.queue.seen}

    def embed(self, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The average's projections of both views, (n, d) each.

        Args:
          views: (2n, h, w, 3), first views, then second views.
        """
        outputs = self.average(views, training=True).projection
        first, second = tf.split(tf.stop_gradient(outputs), 2)
        return first, second

    def compare(
        self,
        first: tf.Tensor,
        second: tf.Tensor,
        ids: tf.Tensor | None = None,
    ) -> dict[str, Any]:
        """Embeddings that the anchors of a batch are compared with.

        Args:
          first, second: what `embed` made of all views of the batch.
          ids: int64 (n,), which images they are of; None: unknown.

        Returns:
          The arguments `keys`, `queue` and `queue_ids` of `nt_xent`. The
          batch's own keys enter the queue after it was read.
        """
        rows, filled = self.queue.read()
        queue_ids = tf.convert_to_tensor(self.queue.seen.ids)
        views = (first, second)
        self.queue.put(
            *(embed(view, self._normalize) for view in views), ids=ids
        )
        return {
            "keys": views,
            "queue": (rows, filled),
            "queue_ids": queue_ids,
        }

    def follow(self) -> None:
        """Moves the average towards the network."""
        self._follow()


def make_memory(job: Job, network: SimCLRNetwork) -> ContrastMemory:
    """The memory that a stage's configuration asks for."""
    objective = job.config.objective
    average = job.build(network.architecture.without_classifier())
    with job.strategy.scope():
        return ContrastMemory(
            network,
            average,
            objective.memory_size,
            objective.memory_momentum,
            objective.hidden_norm,
            job.strategy,
        )
