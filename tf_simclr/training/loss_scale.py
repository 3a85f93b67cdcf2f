"""Loss scaling: keeps float16 gradients inside float16's range."""

import tensorflow as tf

# As in Micikevicius et al., arXiv 1710.03740, and in Keras.
INITIAL = 2.0**15
GROWTH_STEPS = 2000


class LossScale(tf.Module):
    """A factor on the loss that follows the gradients' range.

    A step whose gradients are not finite is skipped and halves the factor;
    `GROWTH_STEPS` finite ones in a row double it. At a factor of 1, which
    scales nothing, a step is taken whatever its gradients are: what is not
    finite there would not be in float32 either, and must be seen.

    Every run has one in its checkpoints, whatever its precision, so that it
    can be continued in another.
    """

    def __init__(self) -> None:
        super().__init__()
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
        grown = steps >= GROWTH_STEPS
        factor = tf.where(finite, self.factor, self.factor / 2.0)
        factor = tf.where(grown, factor * 2.0, factor)
        # Twice float32's largest number would be infinite.
        factor = tf.clip_by_value(factor, 1.0, 2.0**120)
        self.factor.assign(factor)
        self.finite_steps.assign(tf.where(grown, tf.zeros_like(steps), steps))
        return take
