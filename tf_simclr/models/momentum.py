"""An exponential moving average of a network."""

from collections.abc import Sequence

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.naming import named_variables


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives `target` the values that `source` has for its variables."""
    values = named_variables(source)
    for name, variable in named_variables(target).items():
        variable.assign(tf.convert_to_tensor(values[name]))


def ema_pairs(
    source: keras.Model, target: keras.Model
) -> list[tuple[tf.Variable, tf.Variable]]:
    """(average, original) of every trainable variable of `target`."""
    trainable = {variable.ref() for variable in target.trainable_variables}
    values = named_variables(source)
    return [
        (variable, values[name])
        for name, variable in named_variables(target).items()
        if variable.ref() in trainable
    ]


def ema_update(
    pairs: Sequence[tuple[tf.Variable, tf.Variable]],
    momentum: float,
    strategy: tf.distribute.Strategy,
) -> None:
    """average <- momentum * average + (1 - momentum) * original.

    Call it across the replicas, not on one of them.
    """

    def move(average: tf.Variable, original: tf.Variable) -> None:
        average.assign(momentum * average + (1.0 - momentum) * original)

    for average, original in pairs:
        strategy.extended.update(average, move, args=(original,))
