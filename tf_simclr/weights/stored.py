"""Weights on disk: what they belong to, and how to read those of our runs."""

import dataclasses
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.errors import UserError
from tf_simclr.files import read_json
from tf_simclr.models.network import Architecture


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """The weights of a network, not yet read.

    Attributes:
      path: where they lie.
      kind: what wrote them, for the log.
      architecture: the network that they belong to.
      shapes: {stored key: shape} of everything that is a weight.
      keys: (our names, architecture) -> {our name: stored key}; names as in
        `named_variables` and in its order.
      read: returns one tensor by its stored key.
      step: training steps behind them; 0 where unknown.
      stage: pretrain, finetune or distill; '' where unknown.
      image_size: side of the images that they were trained on, if known.
      class_names: names of the classifier's classes, if known.
      config: the flags of the run that made them, if known.
      record: the whole `config.json` of that run, if known.
      scores: its `result.json`, if it is of the same step.
    """

    path: str
    kind: str
    architecture: Architecture
    shapes: dict[str, tuple[int, ...]]
    keys: Callable[[list[str], Architecture], dict[str, str]]
    read: Callable[[str], np.ndarray]
    step: int = 0
    stage: str = ""
    image_size: int | None = None
    class_names: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def classes(self) -> KnownClasses:
        """The classes that the classifier has learned."""
        count = self.architecture.num_classes
        return KnownClasses(self.class_names, count, self.path)

    def fingerprint(self) -> str:
        """Changes with any of the stored numbers, whatever the path.

        A checkpoint's index holds the checksum of each of its tensors.
        """
        with open(self.path + ".index", "rb") as file:
            return f"step {self.step}, {zlib.crc32(file.read()):08x}"


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
        architecture=Architecture.from_json(record["architecture"]),
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
