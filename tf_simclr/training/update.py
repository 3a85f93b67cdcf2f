"""From every replica's gradients to one update of the weights."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tf_simclr.training.gradients import Gradients
from tf_simclr.training.loss_scale import LossScale
from tf_simclr.training.objective import Metrics
from tf_simclr.training.step_probe import StepProbe

# What an update measures where losses are scaled: the factor, and the shares
# of steps that were skipped because their gradients were not finite, and taken.
LOSS_SCALE, SKIPPED, TAKEN = "loss_scale", "skipped_updates", "taken_updates"
SCALING_METRICS = (LOSS_SCALE, SKIPPED, TAKEN)
# The metric that each step adds to those of the task.
GRADIENT_NORM = "gradient_norm"
# Where losses are scaled, the norm is that of the steps that were taken.
SCALING_SHARES = {GRADIENT_NORM: TAKEN}


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
      norm of gradients that are skipped is 0. That of gradients that are
      taken though they are not finite is not finite either, so that this step
      is blamed and not the next one.
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
        norm = tf.linalg.global_norm(gradients)
        if loss_scale is None:
            return gradients, tf.constant(True), norm
        each = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        return gradients, tf.reduce_all(each), norm

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

        # The same on every replica.
        finite, norm = (
            strategy.experimental_local_results(value)[0]
            for value in (finite, norm)
        )

        def take() -> tuple[tf.Tensor, tf.Tensor]:
            on_replicas(apply, (gradients,))
            return tf.constant(1.0), norm

        def skip() -> tuple[tf.Tensor, tf.Tensor]:
            # The schedule goes on.
            optimizer.iterations.assign_add(1)
            return tf.constant(0.0), tf.constant(0.0)

        used = tf.identity(loss_scale.factor)
        # Out here, since a replica cannot branch around an update.
        taken, norm = tf.cond(loss_scale.update(finite), take, skip)
        return {
            GRADIENT_NORM: norm,
            LOSS_SCALE: used,
            SKIPPED: 1.0 - taken,
            TAKEN: taken,
        }

    return update
