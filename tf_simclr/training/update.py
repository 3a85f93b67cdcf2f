"""From every replica's gradients to one update of the weights."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tf_simclr.training.gradients import Gradients
from tf_simclr.training.loss_scale import LossScale
from tf_simclr.training.objective import Metrics
from tf_simclr.training.step_probe import StepProbe

# What an update measures where losses are scaled: the factor, and the share
# of steps that were skipped because their gradients were not finite.
SCALING_METRICS = ("loss_scale", "skipped_updates")
# The metric that each step adds to those of the task.
GRADIENT_NORM = "gradient_norm"


def over_replicas(gradients: Gradients) -> Gradients:
    """The gradients' sums over all replicas."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def make_update(
    optimizer: keras.optimizers.Optimizer,
    trainable: Sequence[tf.Variable],
    loss_scale: LossScale | None,
    strategy: tf.distribute.Strategy,
    on_replicas: Callable[..., Any],
    probe: StepProbe | None = None,
) -> Callable[[Gradients], Metrics]:
    """A function that updates `trainable` by the sum of all gradients.

    Args:
      optimizer: updates them.
      trainable: what is updated.
      loss_scale: what the losses were scaled by; None: they were not.
      strategy: the devices.
      on_replicas: (function, args) -> its results on every replica.
      probe: looks at the gradients now and then.

    Returns:
      A function to be called across the replicas; it returns
      `GRADIENT_NORM` and, where losses are scaled, `SCALING_METRICS`. The
      norm of gradients that are skipped is 0.
    """

    def total(
        gradients: Gradients,
    ) -> tuple[Gradients, tf.Tensor, tf.Tensor]:
        """The global batch's gradients, whether they are finite, their
        norm."""
        gradients = over_replicas(gradients)
        if loss_scale is not None:
            gradients = [g / loss_scale.factor for g in gradients]
        if probe is not None:
            probe.look_at(gradients)
        if loss_scale is None:
            norm = tf.linalg.global_norm(gradients)
            return gradients, tf.constant(True), norm
        each = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        finite = tf.reduce_all(each)
        norm = tf.where(finite, tf.linalg.global_norm(gradients), 0.0)
        return gradients, finite, norm

    def apply(gradients: Gradients) -> None:
        optimizer.apply_gradients(
            zip(gradients, trainable, strict=True),
            experimental_aggregate_gradients=False,
        )

    def update(gradients: Gradients) -> Metrics:
        gradients, finite, norm = on_replicas(total, (gradients,))
        if loss_scale is None:
            on_replicas(apply, (gradients,))
            return {GRADIENT_NORM: norm}

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
        return {
            GRADIENT_NORM: norm,
            "loss_scale": used,
            "skipped_updates": skipped,
        }

    return update
