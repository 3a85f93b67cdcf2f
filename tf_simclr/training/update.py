"""One update of the weights from the replicas' losses."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tf_simclr.data.batches import Batch
from tf_simclr.methods.base import Method, Metrics, whole_loss
from tf_simclr.metrics import (
    GRADIENT_NORM,
    LOSS_SCALE,
    SKIPPED_UPDATES,
    TAKEN_UPDATES,
)
from tf_simclr.training.step_probe import StepProbe

# As in Micikevicius et al., arXiv 1710.03740, and in Keras.
INITIAL = 2.0**15
_GROWTH_STEPS = 2000


class LossScale(tf.Module):
    """A factor on the loss that follows the gradients' range.

    A step whose gradients are not finite is skipped and halves the factor;
    `growth_steps` finite ones in a row double it. At a factor of 1, which
    scales nothing, a step is taken whatever its gradients are: what is not
    finite there would not be in float32 either, and must be seen.

    Every run has one in its checkpoints, whatever its precision, so that it
    can be continued in another.
    """

    def __init__(self, growth_steps: int = _GROWTH_STEPS) -> None:
        super().__init__()
        self._growth_steps = growth_steps
        shared = {
            "trainable": False,
            "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA,
        }
        self.factor = tf.Variable(INITIAL, dtype=tf.float32, **shared)
        self.finite_steps = tf.Variable(0, dtype=tf.int64, **shared)

    def update(self, finite: tf.Tensor) -> tf.Tensor:
        """Notes a step; call it across the replicas, not on one of them.

        Args:
          finite: bool scalar, whether its gradients are finite.

        Returns:
          Whether to take the step.
        """
        take = tf.logical_or(finite, self.factor <= 1.0)
        steps = tf.where(finite, self.finite_steps + 1, 0)
        grown = steps >= self._growth_steps
        factor = tf.where(finite, self.factor, self.factor / 2.0)
        factor = tf.where(grown, factor * 2.0, factor)
        # Twice float32's largest number would be infinite.
        factor = tf.clip_by_value(factor, 1.0, 2.0**120)
        self.factor.assign(factor)
        self.finite_steps.assign(tf.where(grown, tf.zeros_like(steps), steps))
        return take


Gradients = list[tf.Tensor]
# () -> the factor on the loss before it is differentiated.
Scale = Callable[[], tf.Tensor | float]
Views = Callable[[Batch], Batch]


def replica_gradients(
    method: Method,
    scale: Scale = lambda: 1.0,
    views: Views = dict,
    probe: StepProbe | None = None,
) -> Callable[[Batch], tuple[Gradients, Metrics]]:
    """A function from one replica's batch to gradients and metrics.

    Args:
      method: its loss is differentiated by its trainable variables.
      scale: a factor on the loss.
      views: makes the views of a batch, as far as its input has not.
      probe: keeps the embeddings now and then.

    Raises (when it is traced):
      ValueError: the loss does not reach a variable.
    """

    def compute(batch: Batch) -> tuple[Gradients, Metrics]:
        batch = views(batch)
        with tf.GradientTape() as tape:
            loss, metrics, outputs = whole_loss(method, batch)
            scaled = loss * scale()
        if probe is not None:
            probe.keep(method.embeddings(outputs), batch.get("index"))
        gradients = tape.gradient(scaled, method.trainable)
        check_reached(method.trainable, gradients)
        return gradients, metrics

    return compute


def check_reached(
    trainable: Sequence[tf.Variable], gradients: Sequence[tf.Tensor | None]
) -> None:
    """Refuses a gradient that does not exist; shapes are not looked at.

    Raises:
      ValueError: names the variables that have no gradient.
    """
    missing = [
        variable.name
        for variable, gradient in zip(trainable, gradients, strict=True)
        if gradient is None
    ]
    if missing:
        raise ValueError(
            "The loss does not reach these variables; leave them out of"
            f" Method.trainable. Received: {missing}"
        )


def over_replicas(gradients: Gradients) -> Gradients:
    """The gradients' sums over all replicas."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return gradients
    return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


def measured_gradients(
    gradients: Gradients,
    loss_scale: LossScale | None,
    probe: StepProbe | None,
) -> tuple[Gradients, tf.Tensor]:
    """The global batch's gradients and their norm, a scalar, on one replica.

    Args:
      gradients: the replica's.
      loss_scale: what its loss was scaled by; None: it was not.
      probe: looks at the gradients now and then.
    """
    gradients = over_replicas(gradients)
    if loss_scale is not None:
        gradients = [g / loss_scale.factor for g in gradients]
    if probe is not None:
        probe.look_at(gradients)
    return gradients, tf.linalg.global_norm(gradients)


def apply_gradients(method: Method, gradients: Gradients) -> None:
    """Updates the variables by sums over all replicas."""
    method.optimizer.apply_gradients(
        zip(gradients, method.trainable, strict=True),
        experimental_aggregate_gradients=False,
    )


def make_update(
    method: Method,
    loss_scale: LossScale | None,
    strategy: tf.distribute.Strategy,
    on_replicas: Callable[..., Any],
    probe: StepProbe | None = None,
) -> Callable[[Gradients], Metrics]:
    """A function that updates a method's variables by all gradients' sum.

    Args:
      method: what is updated, and by which optimizer.
      loss_scale: what the losses were scaled by; None: they were not.
      strategy: the devices.
      on_replicas: (function, args) -> its results on every replica.
      probe: looks at the gradients now and then.

    Returns:
      A function to be called across the replicas; it returns the gradients'
      norm and, where losses are scaled, the factor and whether the update was
      taken. The norm of gradients that are skipped is 0. That of gradients
      that are taken though they are not finite is not finite either, so that
      this step is blamed and not the next one.
    """

    def total(
        gradients: Gradients,
    ) -> tuple[Gradients, tf.Tensor, tf.Tensor]:
        """Gradients, whether they are finite, their norm."""
        gradients, norm = measured_gradients(gradients, loss_scale, probe)
        if loss_scale is None:
            return gradients, tf.constant(True), norm
        each = [tf.reduce_all(tf.math.is_finite(g)) for g in gradients]
        return gradients, tf.reduce_all(each), norm

    def apply(gradients: Gradients) -> None:
        apply_gradients(method, gradients)

    def update(gradients: Gradients) -> Metrics:
        gradients, finite, norm = on_replicas(total, (gradients,))
        if loss_scale is None:
            on_replicas(apply, (gradients,))
            return {GRADIENT_NORM.name: norm}

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
            method.optimizer.iterations.assign_add(1)
            return tf.constant(0.0), tf.constant(0.0)

        used = tf.identity(loss_scale.factor)
        # Out here, since a replica cannot branch around an update.
        taken, norm = tf.cond(loss_scale.update(finite), take, skip)
        return {
            GRADIENT_NORM.name: norm,
            LOSS_SCALE.name: used,
            SKIPPED_UPDATES.name: 1.0 - taken,
            TAKEN_UPDATES.name: taken,
        }

    return update
