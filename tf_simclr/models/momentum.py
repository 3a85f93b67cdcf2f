"""Stable names of variables, and an exponential moving average of a network."""

from collections.abc import Iterator, Sequence

import tensorflow as tf
import tf_keras as keras

# In this order; those of other names follow.
_WEIGHTS = (
    "kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)


def named_variables(
    layer: keras.layers.Layer, prefix: str = ""
) -> dict[str, tf.Variable]:
    """The variables of a network by path, such as
    `encoder/groups/0/blocks/1/units/2/conv/kernel`.

    The paths are those under which `tf.train.Checkpoint(network=network)`
    stores the variables, and do not depend on Keras's automatic names.
    """
    return dict(_walk(layer, prefix))


def _walk(
    layer: keras.layers.Layer, prefix: str
) -> Iterator[tuple[str, tf.Variable]]:
    others = [name for name in vars(layer) if not name.startswith("_")]
    for name in dict.fromkeys([*_WEIGHTS, *others]):
        variable = getattr(layer, name, None)
        if isinstance(variable, tf.Variable):
            yield prefix + name, variable
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        if isinstance(value, keras.layers.Layer):
            yield from _walk(value, f"{prefix}{name}/")
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                if isinstance(item, keras.layers.Layer):
                    yield from _walk(item, f"{prefix}{name}/{index}/")


def trainable_variables(network: keras.Model) -> dict[str, tf.Variable]:
    """Variables of `named_variables` that are trained."""
    trained = {variable.ref() for variable in network.trainable_variables}
    return {
        name: variable
        for name, variable in named_variables(network).items()
        if variable.ref() in trained
    }


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Gives `target` the values that `source` has for its variables."""
    values = named_variables(source)
    for name, variable in named_variables(target).items():
        variable.assign(tf.convert_to_tensor(values[name]))


def ema_pairs(
    source: keras.Model, target: keras.Model
) -> list[tuple[tf.Variable, tf.Variable]]:
    """(average, original) of every trainable variable of `target`."""
    values = named_variables(source)
    return [
        (variable, values[name])
        for name, variable in trainable_variables(target).items()
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
