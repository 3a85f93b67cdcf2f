"""From every replica's gradients to one update of the weights."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tf_simclr.training.gradients import Gradients
from tf_simclr.training.loss_scale import LossScale
from tf_simclr.training.objective import Metrics

# What an update measures where losses are scaled: the factor, and the share
# of steps that were skipped because their gradients were not finite.
SCALING_METRICS = ("loss_scale", "skipped_updates")


def make_update(
    optimizer: keras.optimizers.Optimizer,
    trainable: Sequence[tf.Variable],
    loss_scale: LossScale | None,
    strategy: tf.distribute.Strategy,
    on_replicas: Callable[..., Any],
) -> Callable[[Gradients], Metrics]:
    """A function that updates `trainable` by the sum of all gradients.

    Args:
      optimizer: updates them.
      trainable: what is updated.
      loss_scale: what the losses were scaled by; None: they were not.
      strategy: the devices.
      on_replicas: (function, args) -> its results on every replica.

    Returns:
      A function to be called across the replicas; it returns
      `SCALING_METRICS`, where losses are scaled.
    """

    def total(gradients: Gradients) -> tuple[Gradients, tf.Tensor]:
        """The global batch's gradients, and whether they are finite."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync > 1:
            gradients = context.all_reduce(
                tf.distribute.ReduceOp.SUM, gradients
            )
        if loss_scale is None:
            return gradients, tf.constant(True)
        gradients = [gradient / loss_scale.factor for gradient in gradients]
        finite = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        return gradients, tf.reduce_all(finite)

    def apply(gradients: Gradients) -> None:
        optimizer.apply_gradients(
            zip(gradients, trainable, strict=True),
            experimental_aggregate_gradients=False,
        )

    def update(gradients: Gradients) -> Metrics:
        gradients, finite = on_replicas(total, (gradients,))
        if loss_scale is None:
            on_replicas(apply, (gradients,))
            return {}

        def take() -> tf.Tensor:
            on_replicas(apply, (gradients,))
            return tf.constant(0.0)

        def skip() -> tf.Tensor:
            # The schedule goes on.
            optimizer.iterations.assign_add(1)
            return tf.constant(1.0)

        used = tf.identity(loss_scale.factor)
        # The same on every replica.
        finite = strategy.experimental_local_results(finite)[0]
        # Out here, since a replica cannot branch around an update.
        skipped = tf.cond(loss_scale.update(finite), take, skip)
        return {"loss_scale": used, "skipped_updates": skipped}

    return update
