"""Weights on disk: what they belong to, and how to read those of our runs."""

import dataclasses
import os
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.errors import UserError
from tf_simclr.evaluation.calibration import TEMPERATURES
from tf_simclr.evaluation.novelty import Novelty, read_novelty
from tf_simclr.files import read_json
from tf_simclr.keras_compat import VALUE_SUFFIX, stored_paths
from tf_simclr.models.network import Architecture
from tf_simclr.training.run_dir import SELECTION
from tf_simclr.training.run_record import (
    RECORD_FILE,
    RunRecord,
    read_record,
)


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
      scores: its `result.json`, if it is of the same step, and TEMPERATURE.
      novelty: what that of images is measured by, if known.
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
    config: Mapping[str, Any] | None = None
    record: RunRecord | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)
    novelty: Novelty | None = None

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


PREFIX = "network/"
# Among the scores: what divides logits for calibrated probabilities.
TEMPERATURE = "temperature"
# Flags of a run that its network is built with.
_NEEDED = ("image_size", "batch_norm_decay", "weight_decay")
# A fitted one as near to the bounds of its search would lie beyond them.
_NEAR = 1e-6


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
        key.removeprefix(PREFIX).removesuffix(VALUE_SUFFIX): key
        for key in shapes
        if key.startswith(PREFIX) and key.endswith(VALUE_SUFFIX)
    }
    if direct or graph is None:
        return direct
    paths = stored_paths(graph, lambda path: f"{path}/".startswith(PREFIX))
    return {path.removeprefix(PREFIX): key for path, key in paths}


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
    record = read_record(folder)
    if record is None or record.architecture is None:
        path = os.path.join(folder, RECORD_FILE)
        raise UserError(
            f"{where} has no config.json beside its checkpoints folder (looked"
            f" for {path}), which tells the architecture."
        )
    missing = [name for name in _NEEDED if name not in record.config]
    if missing:
        raise UserError(
            f"{where} has a {RECORD_FILE} whose 'config' has no {missing[0]!r}:"
            " it is damaged. Name another run, or an export of this one."
        )
    step = int(reader.get_tensor("step" + VALUE_SUFFIX))
    return StoredWeights(
        path=prefix,
        kind="run of tf_simclr",
        architecture=record.architecture,
        shapes={key: tuple(shapes[key]) for key in keys.values()},
        keys=lambda names, _: {
            name: keys.get(name, PREFIX + name + VALUE_SUFFIX) for name in names
        },
        read=reader.get_tensor,
        step=step,
        stage=record.stage,
        image_size=record.config["image_size"],
        class_names=record.dataset.class_names or (),
        config=record.config,
        record=record,
        scores=_scores(folder, step),
        novelty=read_novelty(folder, step),
    )


def _scores(folder: str, step: int) -> dict[str, float]:
    """Scores of an evaluation at that step; empty if there was none."""
    path = os.path.join(folder, "result.json")
    result = read_json(path) if os.path.exists(path) else {}
    if result.get("global_step") != step:
        return {}
    found = {k: v for k, v in result.items() if k != SELECTION}
    return {**temperature_of(folder), **found}


def temperature_of(folder: str) -> dict[str, float]:
    """{TEMPERATURE: it}, of the `evaluation.json` in a run's folder; empty
    where there is none, or one at the bounds of its search."""
    path = os.path.join(folder, "evaluation.json")
    if not os.path.exists(path):
        return {}
    found = read_json(path).get("calibration", {}).get("temperature")
    low, high = TEMPERATURES
    if found is None or not low * (1 + _NEAR) < found < high * (1 - _NEAR):
        return {}
    return {TEMPERATURE: found}
