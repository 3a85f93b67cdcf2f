"""The gradient of one replica's loss."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.training.objective import Metrics, Objective

Gradients = list[tf.Tensor]
# () -> the factor on the loss before it is differentiated.
Scale = Callable[[], tf.Tensor | float]
Views = Callable[[Batch], Batch]


def replica_gradients(
    objective: Objective,
    trainable: Sequence[tf.Variable],
    scale: Scale = lambda: 1.0,
    views: Views = dict,
) -> Callable[[Batch], tuple[Gradients, Metrics]]:
    """A function from one replica's batch to gradients and metrics.

    Args:
      objective: the loss.
      trainable: what it is differentiated by.
      scale: a factor on the loss.
      views: makes the views of a batch, as far as its input has not.

    Raises (when it is traced):
      ValueError: the loss does not reach a variable.
    """

    def compute(batch: Batch) -> tuple[Gradients, Metrics]:
        batch = views(batch)
        with tf.GradientTape() as tape:
            loss, metrics = objective(batch)
            scaled = loss * scale()
        gradients = tape.gradient(scaled, trainable)
        check_reached(trainable, gradients)
        return gradients, metrics

    return compute


def check_reached(
    trainable: Sequence[tf.Variable], gradients: Sequence[tf.Tensor | None]
) -> None:
    """Refuses a gradient that does not exist."""
    missing = [
        variable.name
        for variable, gradient in zip(trainable, gradients, strict=True)
        if gradient is None
    ]
    if missing:
        raise ValueError(
            "The loss does not reach these variables; leave them out of"
            f" Task.trainable. Received: {missing}"
        )
