"""The optimizer that a configuration names, and what it decays."""

import re
import warnings
from collections.abc import Sequence
from types import ModuleType

import tensorflow as tf
import tf_keras as keras

from tf_simclr import keras_compat
from tf_simclr.config.optimizer import OptimizerConfig
from tf_simclr.errors import UserError
from tf_simclr.optimizers.lamb import LAMB
from tf_simclr.optimizers.lars import LARS
from tf_simclr.optimizers.schedule import WarmupCosine


class Adam(keras.optimizers.Adam):
    """Keras's Adam, whose update TensorFlow does in one operation.

    Keras writes it as a dozen operations on each variable; in a network of many
    small variables they cost more than the numbers do. The equations (arXiv
    1412.6980, section 2, last paragraph) and the slots are the same.
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        """Updates one variable by its dense gradient, of the same shape."""
        keras_compat.apply_adam(self, gradient, variable)


def tensorflow_addons() -> ModuleType:
    """TensorFlow Addons, imported here and nowhere else.

    Raises:
      UserError: it is not installed, or does not import.
    """
    try:
        with warnings.catch_warnings():
            # It announces its end of life at every import.
            warnings.simplefilter("ignore")
            import tensorflow_addons
    except Exception as error:
        raise UserError(
            "This needs TensorFlow Addons, which has no build for this Python"
            " or is not installed (requirements.txt installs it on Python"
            " 3.11): choose another value for --optimizer, such as lars,"
            f" lamb, momentum or adam. Received: {error}"
        ) from error
    return tensorflow_addons


def make_optimizer(
    config: OptimizerConfig,
    schedule: WarmupCosine,
    trainable: Sequence[tf.Variable],
    classifier: Sequence[tf.Variable],
) -> keras.optimizers.Optimizer:
    """Builds the optimizer that `config` names.

    Args:
      config: name and hyper-parameters.
      schedule: the learning rate.
      trainable: the variables that will be updated.
      classifier: those among them that belong to the linear classifier; LARS
        neither decays nor adapts them.
    """
    if config.optimizer == "lars":
        return LARS(
            schedule,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
            plain_variables=classifier,
        )
    if config.optimizer == "momentum":
        return keras.optimizers.SGD(
            schedule, momentum=config.momentum, nesterov=True
        )
    if config.optimizer == "adam":
        return Adam(schedule)
    if config.optimizer == "lamb":
        return LAMB(schedule, weight_decay=config.weight_decay)
    addons = tensorflow_addons()
    # These choose what to decay by name; the names are those of the variables
    # that are not kernels.
    plain = [
        f"^{re.escape(v.name)}$" for v in trainable if len(v.shape) < 2
    ] or None
    # Decoupled decay is scaled with the learning rate, which Addons leaves to
    # the caller (see its DecoupledWeightDecayExtension).
    decay = _scaled_decay(config.weight_decay, schedule)
    if config.optimizer == "adamw":
        return addons.optimizers.AdamW(
            weight_decay=decay,
            learning_rate=schedule,
            exclude_from_weight_decay=plain,
        )
    return addons.optimizers.SGDW(
        weight_decay=decay,
        learning_rate=schedule,
        momentum=config.momentum,
        nesterov=True,
        exclude_from_weight_decay=plain,
    )


def _scaled_decay(
    weight_decay: float, schedule: WarmupCosine
) -> keras.optimizers.schedules.LearningRateSchedule:
    return WarmupCosine(
        weight_decay * schedule.peak,
        schedule.warmup_steps,
        schedule.total_steps,
    )


def build_slots(
    optimizer: keras.optimizers.Optimizer, variables: Sequence[tf.Variable]
) -> None:
    """Creates the optimizer's variables, so that they can be restored."""
    if isinstance(optimizer, keras.optimizers.legacy.Optimizer):
        keras_compat.create_legacy_slots(optimizer, variables)
    else:
        optimizer.build(variables)


def decayed_in_loss(
    config: OptimizerConfig,
    network: keras.Model,
    classifier: Sequence[tf.Variable],
) -> list[tf.Variable]:
    """The variables whose decay is a term of the loss.

    LARS decays its kernels itself, except the classifier's. Momentum and adam
    decay through the loss. LAMB, AdamW and SGDW decay by themselves.
    """
    if config.optimizer == "lars":
        return [v for v in classifier if len(v.shape) > 1]
    if config.optimizer in ("momentum", "adam"):
        if config.weight_decay_on == "all_but_norm":
            return _all_but_norm(network)
        return [v for v in network.trainable_variables if len(v.shape) > 1]
    return []


def _all_but_norm(network: keras.Model) -> list[tf.Variable]:
    norms = {
        variable.ref()
        for layer in network.submodules
        if hasattr(layer, "moving_variance")
        or isinstance(layer, keras.layers.LayerNormalization)
        for variable in layer.trainable_variables
    }
    return [v for v in network.trainable_variables if v.ref() not in norms]
