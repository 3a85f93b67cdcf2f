"""What a batch costs, in parts that need not see the whole batch at once."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tf_simclr.data.batches import Batch

Metrics = dict[str, tf.Tensor]
# {name: (n, ...)}, row i belongs to image i of a batch.
Rows = dict[str, tf.Tensor]


def _nothing(_: Batch) -> Rows:
    return {}


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss, split where a batch can be split.

    Called with a batch it returns the whole loss and its metrics. Its parts
    let `micro_batches` take the images a few at a time.

    Attributes:
      forward: batch -> what the loss reads of the network in training.
      loss: (batch, rows) -> (loss, metrics) without the weight decay. `rows`
        holds what `forward` and `references` returned.
      decay: () -> the term that depends on the weights alone.
      references: batch -> rows by other networks, which no gradient reaches;
        called once per image and step.
      prepare: batch -> batch with what each image needs to know of the whole
        batch, so that losses and metrics of its parts add up to those of the
        whole. Leading dimensions may be (n,) or (parts, n).
      compares_images: whether the loss compares the images of a batch with
        each other, so that it cannot be formed from its parts.
    """

    forward: Callable[[Batch], Rows]
    loss: Callable[[Batch, Rows], tuple[tf.Tensor, Metrics]]
    decay: Callable[[], tf.Tensor]
    references: Callable[[Batch], Rows] = _nothing
    prepare: Callable[[Batch], Batch] = dict
    compares_images: bool = False

    def __call__(self, batch: Batch) -> tuple[tf.Tensor, Metrics]:
        batch = self.prepare(batch)
        rows = self.forward(batch)
        # One network after the other: the collectives of their batch norms
        # must not overtake each other on different devices.
        with tf.control_dependencies(list(rows.values())):
            references = self.references(batch)
        loss, metrics = self.loss(batch, {**rows, **references})
        return self.with_decay(loss, metrics)

    def with_decay(
        self, loss: tf.Tensor, metrics: Metrics
    ) -> tuple[tf.Tensor, Metrics]:
        """Adds the weight decay to a loss, and both to its metrics."""
        decay = self.decay()
        total = loss + decay
        return total, {"total_loss": total, "weight_decay": decay, **metrics}
