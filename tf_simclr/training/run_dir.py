"""The files of a run: its configuration and its results."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tf_simclr.errors import UserError
from tf_simclr.files import (
    as_json,
    naming,
    read_json,
    remove_unfinished,
    write_json,
    write_text,
)
from tf_simclr.training.lock import locked
from tf_simclr.training.run_record import (
    RECORD_FILE,
    RunRecord,
    read_record,
)
from tf_simclr.training.same_run import continued

LABELS_FILE = "labels.json"
METRICS_FILE = "metrics.jsonl"
RESULT_FILE = "result.json"
# Part of it: which checkpoint was scored and why, where scores decided that.
SELECTION = "selection"


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

    def read_config(self) -> RunRecord | None:
        """Contents of `config.json`; None for a new directory.

        Raises:
          UserError: it cannot be read.
        """
        return read_record(self.path)

    def check_usable(
        self, record: RunRecord, labels: dict[str, Any] | None
    ) -> list[str]:
        """Refuses a directory that cannot be written or holds another run.

        Args:
          record: what `config.json` of this run would hold.
          labels: what its `labels.json` would hold, if it has labels.

        Returns:
          What has changed since the run that is continued here was started.

        Raises:
          UserError: names the directory and what stands in the way.
        """
        check_writable(self.path)
        stored = self.read_config()
        if stored is None:
            return []
        stored_labels = None
        if os.path.exists(self.file(LABELS_FILE)):
            stored_labels = read_json(self.file(LABELS_FILE))
        return continued(self.path, stored, record, stored_labels, labels)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Makes the directory and holds its lock.

        Raises:
          UserError: another process holds it.
        """
        os.makedirs(self.path, exist_ok=True)
        with locked(self.path):
            remove_unfinished(self.path)
            yield

    def write_config(self, record: RunRecord) -> None:
        """Writes `config.json`."""
        write_json(self.file(RECORD_FILE), record.to_json())

    def write_result(
        self,
        result: dict[str, float],
        selection: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes `result.json` and `result_STEP.json`.

        Args:
          result: the step and its scores.
          selection: which checkpoint they are of and why; None where no score
            decided that.
        """
        step = int(result["global_step"])
        whole = {**result, **({SELECTION: selection} if selection else {})}
        write_json(self.file(f"result_{step}.json"), whole)
        write_json(self.file(RESULT_FILE), whole)

    def read_selection(self, step: int | None = None) -> dict[str, Any]:
        """The part `selection` of `result.json`; {} where it has none, or is
        of another step than this one."""
        path = self.file(RESULT_FILE)
        found = read_json(path) if os.path.exists(path) else {}
        if step is not None and found.get("global_step") != step:
            return {}
        return found.get(SELECTION, {})

    def append_metrics(
        self, step: int, epoch: float, split: str, metrics: dict[str, float]
    ) -> None:
        """Adds one line to `metrics.jsonl`."""
        line = {"step": step, "epoch": round(epoch, 4), "split": split}
        path = self.file(METRICS_FILE)
        with naming(path), open(path, "a", encoding="utf-8") as file:
            file.write(as_json({**line, **metrics}) + "\n")

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of `metrics.jsonl`; empty before the first."""
        path = self.file(METRICS_FILE)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def cut_metrics_after(self, step: int) -> None:
        """Drops lines of steps that a resumed run will go through again."""
        self._keep_metrics(lambda line: line["step"] <= step)

    def drop_metrics(self, step: int, split: str) -> None:
        """Drops the lines of one step and split."""
        self._keep_metrics(
            lambda line: (line["step"], line["split"]) != (step, split)
        )

    def _keep_metrics(self, wanted: Callable[[dict], bool]) -> None:
        path = self.file(METRICS_FILE)
        if not os.path.exists(path):
            return
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        # The last line may have been cut off in the middle of writing.
        whole = [line for line in lines if line.endswith("\n")]
        kept = [line for line in whole if wanted(json.loads(line))]
        if kept != lines:
            write_text(path, "".join(kept))


def check_writable(path: str) -> None:
    """Refuses a directory that cannot be made or written, without making it.

    Permissions do not tell: some file systems take nothing from anybody. So a
    folder is made, where one exists, and removed.

    Raises:
      UserError: nothing can be written there.
    """
    if "://" in path:
        raise UserError(
            "--model_dir must be a folder: mount the bucket, and name the place"
            f" where it is. Received: {path}"
        )
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise UserError(
            f"--model_dir={path} cannot be used: {existing} is not a directory."
        )
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".writable-", dir=existing))
    except OSError as error:
        raise UserError(
            f"--model_dir={path} cannot be written: {existing} takes no new"
            f" folder. Choose another place. Received: {error.strerror}"
        ) from error
