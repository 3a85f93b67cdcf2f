"""LARS: layer-wise adaptive rate scaling (arXiv 1708.03888)."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from tf_simclr import keras_compat

# Trust coefficient of the original release.
TRUST_COEFFICIENT = 0.001


class LARSUpdate(NamedTuple):
    """New values of one variable and of its momentum."""

    variable: tf.Tensor
    momentum: tf.Tensor


def trust_ratio(
    weights: tf.Tensor, step: tf.Tensor, coefficient: float
) -> tf.Tensor:
    """coefficient * |weights| / |step|, a scalar; 1 where either norm is 0."""
    weight_norm = tf.norm(weights)
    step_norm = tf.norm(step)
    usable = tf.logical_and(weight_norm > 0, step_norm > 0)
    return tf.where(
        usable,
        coefficient * tf.math.divide_no_nan(weight_norm, step_norm),
        1.0,
    )


def lars_update(
    gradient: tf.Tensor,
    variable: tf.Tensor,
    momentum_buffer: tf.Tensor,
    *,
    learning_rate: tf.Tensor,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    adapt: bool = True,
    nesterov: bool = False,
    classic_momentum: bool = True,
    coefficient: float = TRUST_COEFFICIENT,
) -> LARSUpdate:
    """One LARS step, as the original release takes it.

    g' = g + wd * w; lambda = coefficient * |w| / |g'|;
    v <- m * v + lr * lambda * g'; w <- w - v.

    The norm is that of the decayed gradient (the LARS paper sums two norms
    instead).

    Args:
      gradient, variable, momentum_buffer: float32 tensors of one shape.
      learning_rate: scalar.
      momentum: m, in [0, 1).
      weight_decay: wd; 0 for variables that are not decayed.
      adapt: whether the rate is scaled by the trust ratio.
      nesterov: look-ahead momentum.
      classic_momentum: whether the learning rate enters the momentum buffer.
        If not, the trust ratio is that of the momentum step.
      coefficient: the trust coefficient.
    """
    step = gradient + weight_decay * variable if weight_decay else gradient

    def rate(direction: tf.Tensor) -> tf.Tensor:
        if not adapt:
            return learning_rate
        return learning_rate * trust_ratio(variable, direction, coefficient)

    if classic_momentum:
        step = rate(step) * step
    buffer = momentum * momentum_buffer + step
    update = momentum * buffer + step if nesterov else buffer
    if not classic_momentum:
        update = rate(update) * update
    return LARSUpdate(variable - update, buffer)


class LARS(keras.optimizers.Optimizer):
    """`lars_update` as a Keras optimizer.

    Variables of rank 0 and 1 (biases, batch norm's scales and shifts) and
    those in `plain_variables` get momentum SGD at the full learning rate,
    without decay.

    Args:
      learning_rate: a float or a schedule.
      momentum, weight_decay, nesterov, classic_momentum, coefficient: see
        `lars_update`.
      plain_variables: variables of higher rank that are neither decayed nor
        adapted, such as the classifier's kernel.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        classic_momentum: bool = True,
        coefficient: float = TRUST_COEFFICIENT,
        plain_variables: Sequence[tf.Variable] = (),
        name: str = "LARS",
        **kwargs,
    ):
        # The decay enters before the trust ratio, so the base class's
        # decoupled decay stays off.
        super().__init__(name=name, weight_decay=None, **kwargs)
        keras_compat.set_learning_rate(self, learning_rate)
        self.momentum = momentum
        self.decay = weight_decay
        self.nesterov = nesterov
        self.classic_momentum = classic_momentum
        self.coefficient = coefficient
        self._plain = {
            keras_compat.variable_key(self, v) for v in plain_variables
        }

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Creates one momentum buffer per variable."""
        super().build(var_list)
        if keras_compat.has_slots(self):
            return
        self.momentums = [
            self.add_variable_from_reference(
                model_variable=variable, variable_name="momentum"
            )
            for variable in var_list
        ]
        keras_compat.mark_slots_built(self)

    def adapts(self, variable: tf.Variable) -> bool:
        """True if `variable` is decayed and has a trust ratio."""
        plain = keras_compat.variable_key(self, variable) in self._plain
        return len(variable.shape) > 1 and not plain

    def ratio_of(self, gradient: tf.Tensor, variable: tf.Variable) -> tf.Tensor:
        """The trust ratio, a scalar, of a variable that `adapts`."""
        step = gradient + self.decay * variable
        return trust_ratio(variable, step, self.coefficient)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates one variable by its dense gradient, of the same shape."""
        buffer = self.momentums[keras_compat.slot_index(self, variable)]
        adapt = self.adapts(variable)
        update = lars_update(
            gradient,
            variable,
            buffer,
            learning_rate=tf.cast(self.learning_rate, variable.dtype),
            momentum=self.momentum,
            weight_decay=self.decay if adapt else 0.0,
            adapt=adapt,
            nesterov=self.nesterov,
            classic_momentum=self.classic_momentum,
            coefficient=self.coefficient,
        )
        variable.assign(update.variable)
        buffer.assign(update.momentum)

    def get_config(self) -> dict:
        """The arguments that make it again."""
        config = super().get_config()
        # Keras's own decoupled decay, which LARS does not use.
        config.pop("weight_decay", None)
        return {
            **config,
            "learning_rate": keras_compat.learning_rate_config(self),
            "momentum": self.momentum,
            "weight_decay": self.decay,
            "nesterov": self.nesterov,
            "classic_momentum": self.classic_momentum,
            "coefficient": self.coefficient,
        }
