"""Weights on disk: finding them, and knowing the network they belong to."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.models.network import Architecture

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_PREFIX = "network/"


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """The weights of a network, not yet read.

    Attributes:
      path: where they lie.
      architecture: the network that they belong to.
      shapes: {variable name: shape}, names as in `named_variables`.
      read: returns one tensor by its name.
      image_size: side of the images that they were trained on, if known.
      class_names: names of the classifier's classes, if known.
      stage: pretrain, finetune or distill.
      step: training steps behind them.
      config: the flags of the run that made them, if known.
    """

    path: str
    architecture: Architecture
    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]
    image_size: int | None
    class_names: tuple[str, ...]
    stage: str
    step: int
    config: dict[str, Any] | None


def open_weights(path: str, flag: str) -> StoredWeights:
    """Finds the weights that a flag names.

    Args:
      path: a run directory (its latest checkpoint is taken) or a checkpoint's
        prefix, such as `runs/first/checkpoints/ckpt-100`.
      flag: the flag, for error messages.

    Raises:
      UserError: there are none.
    """
    import tensorflow as tf

    prefix = path
    if os.path.isdir(path):
        prefix = tf.train.latest_checkpoint(
            os.path.join(path, "checkpoints")
        ) or tf.train.latest_checkpoint(path)
        if prefix is None:
            raise UserError(
                f"--{flag}={path} holds no checkpoint: name the model_dir of a"
                " run that has saved one."
            )
    if not os.path.exists(prefix + ".index"):
        raise UserError(
            f"--{flag}={path} is neither a run directory nor the prefix of a"
            " checkpoint (such as RUN/checkpoints/ckpt-100)."
        )
    run_dir = os.path.dirname(os.path.dirname(os.path.abspath(prefix)))
    record_path = os.path.join(run_dir, "config.json")
    if not os.path.exists(record_path):
        raise UserError(
            f"--{flag}={path} has no config.json beside its checkpoints folder"
            f" (looked for {record_path}), which tells the architecture."
        )
    record = read_json(record_path)
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            f"--{flag}={path} cannot be read as a checkpoint: {error}"
        ) from error
    return StoredWeights(
        path=prefix,
        architecture=Architecture(**record["architecture"]),
        shapes={
            key.removeprefix(_PREFIX).removesuffix(_SUFFIX): tuple(shape)
            for key, shape in shapes.items()
            if key.startswith(_PREFIX) and key.endswith(_SUFFIX)
        },
        read=lambda name: reader.get_tensor(_PREFIX + name + _SUFFIX),
        image_size=record["config"]["image_size"],
        class_names=tuple(record["dataset"]["class_names"]),
        stage=record["stage"],
        step=int(reader.get_tensor("step" + _SUFFIX)),
        config=record["config"],
    )
