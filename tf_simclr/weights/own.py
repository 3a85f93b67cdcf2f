"""Checkpoints of this project's own runs."""

import os
from collections.abc import Mapping
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.models.network import Architecture
from tf_simclr.weights.stored import StoredWeights

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
PREFIX = "network/"


def open_own(
    prefix: str, reader: Any, shapes: Mapping[str, list[int]], where: str
) -> StoredWeights:
    """Weights of a run; its `config.json` tells the architecture.

    Args:
      prefix: the checkpoint.
      reader: its `tf.train.load_checkpoint`.
      shapes: {key: shape} of all it holds.
      where: `--flag=path`, for error messages.

    Raises:
      UserError: there is no `config.json`.
    """
    run_dir = os.path.dirname(os.path.dirname(os.path.abspath(prefix)))
    record_path = os.path.join(run_dir, "config.json")
    if not os.path.exists(record_path):
        raise UserError(
            f"{where} has no config.json beside its checkpoints folder (looked"
            f" for {record_path}), which tells the architecture."
        )
    record = read_json(record_path)
    return StoredWeights(
        path=prefix,
        kind="run of tf_simclr",
        architecture=Architecture(**record["architecture"]),
        shapes={
            key: tuple(shape)
            for key, shape in shapes.items()
            if key.startswith(PREFIX) and key.endswith(SUFFIX)
        },
        keys=lambda names, _: {name: PREFIX + name + SUFFIX for name in names},
        read=reader.get_tensor,
        step=int(reader.get_tensor("step" + SUFFIX)),
        stage=record["stage"],
        image_size=record["config"]["image_size"],
        class_names=tuple(record["dataset"]["class_names"]),
        config=record["config"],
    )
