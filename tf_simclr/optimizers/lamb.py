"""LAMB: layer-wise adaptive moments (arXiv 1904.00962)."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from tf_simclr import keras_compat
from tf_simclr.optimizers.lars import trust_ratio


class LAMBUpdate(NamedTuple):
    """New values of one variable and of its two moments."""

    variable: tf.Tensor
    momentum: tf.Tensor
    velocity: tf.Tensor


def lamb_update(
    gradient: tf.Tensor,
    variable: tf.Tensor,
    momentum: tf.Tensor,
    velocity: tf.Tensor,
    *,
    learning_rate: tf.Tensor,
    step: tf.Tensor,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.0,
    adapt: bool = True,
) -> LAMBUpdate:
    """One LAMB step (the paper's algorithm 2, its scaling function the norm).

    m <- b1 * m + (1 - b1) * g; v <- b2 * v + (1 - b2) * g^2;
    u = (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + wd * w;
    w <- w - lr * |w| / |u| * u.

    Args:
      gradient, variable, momentum, velocity: float32 tensors of one shape.
      learning_rate: scalar.
      step: t, a float scalar, from 1 on.
      beta_1, beta_2: decay of the moments, in [0, 1).
      epsilon: keeps the quotient finite.
      weight_decay: wd; 0 for variables that are not decayed.
      adapt: whether the rate is scaled by |w| / |u|, which is 1 where either
        norm is 0.
    """
    momentum = beta_1 * momentum + (1 - beta_1) * gradient
    velocity = beta_2 * velocity + (1 - beta_2) * tf.square(gradient)
    first = momentum / (1 - tf.pow(beta_1, step))
    second = velocity / (1 - tf.pow(beta_2, step))
    update = first / (tf.sqrt(second) + epsilon) + weight_decay * variable
    ratio = trust_ratio(variable, update, 1.0) if adapt else 1.0
    changed = variable - learning_rate * ratio * update
    return LAMBUpdate(changed, momentum, velocity)


class LAMB(keras.optimizers.Optimizer):
    """`lamb_update` as a Keras optimizer.

    Variables of rank 0 and 1 (biases, batch norm's scales and shifts) are
    neither decayed nor adapted.

    Args:
      learning_rate: a float or a schedule.
      beta_1, beta_2, epsilon, weight_decay: see `lamb_update`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        name: str = "LAMB",
        **kwargs,
    ):
        # The decay enters before the trust ratio, so the base class's
        # decoupled decay stays off.
        super().__init__(name=name, weight_decay=None, **kwargs)
        keras_compat.set_learning_rate(self, learning_rate)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.decay = weight_decay

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        """Creates two moments per variable."""
        super().build(var_list)
        if keras_compat.has_slots(self):
            return
        self.momentums, self.velocities = (
            [
                self.add_variable_from_reference(
                    model_variable=variable, variable_name=name
                )
                for variable in var_list
            ]
            for name in ("momentum", "velocity")
        )
        keras_compat.mark_slots_built(self)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates one variable by its dense gradient, of the same shape."""
        index = keras_compat.slot_index(self, variable)
        momentum, velocity = self.momentums[index], self.velocities[index]
        adapt = len(variable.shape) > 1
        update = lamb_update(
            gradient,
            variable,
            momentum,
            velocity,
            learning_rate=tf.cast(self.learning_rate, variable.dtype),
            step=tf.cast(self.iterations + 1, variable.dtype),
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=self.decay if adapt else 0.0,
            adapt=adapt,
        )
        variable.assign(update.variable)
        momentum.assign(update.momentum)
        velocity.assign(update.velocity)

    def get_config(self) -> dict:
        """The arguments that make it again."""
        config = super().get_config()
        # Keras's own decoupled decay, which LAMB does not use.
        config.pop("weight_decay", None)
        return {
            **config,
            "learning_rate": keras_compat.learning_rate_config(self),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "weight_decay": self.decay,
        }
