"""Checkpoints of this project's own runs, and its own SavedModels."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.models.network import Architecture
from tf_simclr.weights.stored import StoredWeights

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
PREFIX = "network/"
_ROOT = "network"


def own_keys(
    shapes: Mapping[str, list[int]], graph: bytes | None
) -> dict[str, str]:
    """{our name: stored key} of the weights; empty if we did not write them.

    A checkpoint's keys are the names. A SavedModel stores most variables under
    keys such as `variables/12`; the object graph beside them tells their names.

    Args:
      shapes: {key: shape} of all that is stored.
      graph: the serialized object graph, if there is one.
    """
    direct = {
        key.removeprefix(PREFIX).removesuffix(SUFFIX): key
        for key in shapes
        if key.startswith(PREFIX) and key.endswith(SUFFIX)
    }
    if direct or graph is None:
        return direct
    return dict(_walk(graph))


def _walk(graph: bytes) -> Iterator[tuple[str, str]]:
    """Yields (path below the root's `network`, stored key)."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    nodes = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        graph
    ).nodes
    pending = [
        (child.node_id, "")
        for child in nodes[0].children
        if child.local_name == _ROOT
    ]
    while pending:
        index, path = pending.pop()
        for attribute in nodes[index].attributes:
            yield path, attribute.checkpoint_key
        for child in nodes[index].children:
            name = child.local_name
            pending.append((child.node_id, f"{path}/{name}" if path else name))


def open_own(
    prefix: str,
    reader: Any,
    shapes: Mapping[str, list[int]],
    keys: Mapping[str, str],
    where: str,
) -> StoredWeights:
    """Weights of a run; the `config.json` of the run or of the SavedModel
    tells the architecture.

    Args:
      prefix: the checkpoint.
      reader: its `tf.train.load_checkpoint`.
      shapes: {key: shape} of all it holds.
      keys: from `own_keys`.
      where: `--flag=path`, for error messages.

    Raises:
      UserError: there is no `config.json`.
    """
    folder = os.path.dirname(os.path.dirname(os.path.abspath(prefix)))
    record_path = os.path.join(folder, "config.json")
    if not os.path.exists(record_path):
        raise UserError(
            f"{where} has no config.json beside its checkpoints folder (looked"
            f" for {record_path}), which tells the architecture."
        )
    record = read_json(record_path)
    step = int(reader.get_tensor("step" + SUFFIX))
    return StoredWeights(
        path=prefix,
        kind="run of tf_simclr",
        architecture=Architecture(**record["architecture"]),
        shapes={key: tuple(shapes[key]) for key in keys.values()},
        keys=lambda names, _: {
            name: keys.get(name, PREFIX + name + SUFFIX) for name in names
        },
        read=reader.get_tensor,
        step=step,
        stage=record["stage"],
        image_size=record["config"]["image_size"],
        class_names=tuple(record["dataset"]["class_names"]),
        config=record["config"],
        record=record,
        scores=_scores(os.path.join(folder, "result.json"), step),
    )


def _scores(path: str, step: int) -> dict[str, float]:
    """What an evaluation at that step found; empty if there was none."""
    result = read_json(path) if os.path.exists(path) else {}
    return result if result.get("global_step") == step else {}
