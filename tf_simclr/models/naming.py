"""One stable name per variable: the path of attributes that leads to it."""

from collections.abc import Iterator

import tensorflow as tf
import tf_keras as keras

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
    for name in _WEIGHTS:
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
