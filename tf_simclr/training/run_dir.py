"""The files of a run: what it was asked, what it found."""

import dataclasses
import json
import os
import platform
from typing import Any

from tf_simclr import __version__
from tf_simclr.config.flat import to_flat
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.files import read_json, write_json

CONFIG_FILE = "config.json"


@dataclasses.dataclass(frozen=True)
class RunDirectory:
    """A `model_dir`, and the paths in it."""

    path: str

    @property
    def checkpoints(self) -> str:
        """Folder of the checkpoints."""
        return os.path.join(self.path, "checkpoints")

    def file(self, name: str) -> str:
        """Path of a file of the run."""
        return os.path.join(self.path, name)

    def read_config(self) -> dict[str, Any] | None:
        """What `config.json` holds; None for a new directory."""
        if not os.path.exists(self.file(CONFIG_FILE)):
            return None
        return read_json(self.file(CONFIG_FILE))

    def check_usable(self, record: dict[str, Any]) -> None:
        """Refuses a directory that cannot be written or holds another run.

        Args:
          record: what `config.json` of this run would hold.

        Raises:
          UserError: names the directory and what stands in the way.
        """
        check_writable(self.path)
        stored = self.read_config()
        if stored is None:
            return
        for key in ("stage", "architecture", "dataset", "labels"):
            old, new = stored.get(key), record.get(key)
            if old != new:
                raise UserError(
                    f"--model_dir={self.path} holds another run: its"
                    f" {_difference(key, old, new)}. Choose a new directory,"
                    " or remove that one."
                )

    def write_config(self, record: dict[str, Any]) -> None:
        """Writes `config.json`, making the directory."""
        os.makedirs(self.path, exist_ok=True)
        write_json(self.file(CONFIG_FILE), record)

    def write_result(self, result: dict[str, float]) -> None:
        """Writes `result.json` and `result_STEP.json`."""
        step = int(result["global_step"])
        write_json(self.file(f"result_{step}.json"), result)
        write_json(self.file("result.json"), result)

    def append_metrics(
        self, step: int, epoch: float, split: str, metrics: dict[str, float]
    ) -> None:
        """Adds one line to `metrics.jsonl`."""
        line = {"step": step, "epoch": round(epoch, 4), "split": split}
        with open(self.file("metrics.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps({**line, **metrics}) + "\n")

    def cut_metrics_after(self, step: int) -> None:
        """Drops lines of steps that a resumed run will go through again."""
        path = self.file("metrics.jsonl")
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if len(kept) != len(lines):
            temporary = path + ".tmp"
            with open(temporary, "w", encoding="utf-8") as file:
                file.writelines(kept)
            os.replace(temporary, path)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (json.JSONDecodeError, KeyError):
        # A line that was cut off in the middle of writing.
        return float("inf")


def check_writable(path: str) -> None:
    """Refuses a directory that cannot be made or written, without making it."""
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise UserError(
            f"--model_dir={path} cannot be used: {existing} is not a directory."
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(
            f"--model_dir={path} cannot be written: no permission to write in"
            f" {existing}."
        )


def config_record(
    config: Config,
    stage: str,
    *,
    architecture: Any,
    dataset: dict[str, Any],
    labels: dict[str, Any],
    derived: dict[str, Any],
) -> dict[str, Any]:
    """What `config.json` holds.

    Args:
      config: the resolved configuration.
      stage: pretrain, finetune or distill.
      architecture: the network's `Architecture`.
      dataset: name, split sizes and class names.
      labels: how the labelled subset was drawn.
      derived: steps, learning rate, parameter counts, ...
    """
    return {
        "stage": stage,
        "architecture": dataclasses.asdict(architecture),
        "dataset": dataset,
        "labels": labels,
        "config": to_flat(config),
        "derived": derived,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions that a run's results depend on."""
    import tensorflow as tf
    import tf_keras as keras

    return {
        "tf_simclr": __version__,
        "tensorflow": tf.__version__,
        "tf_keras": keras.__version__,
        "python": platform.python_version(),
    }


def _difference(key: str, old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [
            f"{name} is {old.get(name)}, not {new.get(name)}"
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]
        return f"{key} differs ({'; '.join(parts)})"
    return f"{key} is '{old}', not '{new}'"
