"""Best evaluation of a run, and early stopping where none better comes."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

from tf_simclr import manifests
from tf_simclr.files import read_json, write_json
from tf_simclr.metrics import BEST_BY
from tf_simclr.training.run_dir import RunDirectory

BEST_FILE = "best.json"
EARLY_STOP_FILE = "early_stop.json"


@dataclasses.dataclass(frozen=True)
class Selection:
    """Comparison of the evaluations of a run.

    Attributes:
      by: names of metrics; of each evaluation the first that it measured
        counts, and higher is better.
      scored_on: the identity of the images that scores are of.
      patience: evaluations in a row, none of them better, after which the
        training ends; 0: it does not.
      exports_best: whether the best checkpoint is scored at the end, and
        exported, instead of the last.
    """

    by: tuple[str, ...] = tuple(metric.name for metric in BEST_BY)
    scored_on: Mapping[str, Any] | None = None
    patience: int = 0
    exports_best: bool = False

    @property
    def decides(self) -> bool:
        """True if scores decide which weights a run ends with."""
        return self.exports_best or self.patience > 0

    def comparable(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The one metric by which evaluations are compared; {} without it."""
        for name in self.by:
            value = metrics.get(name)
            if value is not None and math.isfinite(value):
                return {name: value}
        return {}


USUAL_SELECTION = Selection()


def record_score(
    run_dir: RunDirectory,
    step: int,
    metrics: Mapping[str, float],
    selection: Selection,
) -> None:
    """Adds an evaluation to the checkpoint of `step`, and judges anew.

    Args:
      run_dir: of the checkpoint.
      step: which the evaluation is of.
      metrics: its scores.
      selection: how they are compared.
    """
    score = selection.comparable(metrics)
    manifests.set_score(run_dir.checkpoints, step, score, selection.scored_on)
    write_best(run_dir)


def write_best(run_dir: RunDirectory) -> None:
    """Writes `best.json`, where any checkpoint that is whole was evaluated."""
    best = manifests.best_scored(run_dir.checkpoints)
    if best is None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(run_dir.file(BEST_FILE))
        return
    path = manifests.prefix(run_dir.checkpoints, best.step)
    write_json(
        run_dir.file(BEST_FILE),
        {
            "step": best.step,
            "checkpoint": os.path.relpath(path, run_dir.path),
            **best.score,
            **({"of": best.scored_on} if best.scored_on else {}),
        },
    )


class EarlyStop:
    """Decides when evaluations no longer improve.

    It has no memory of its own: `metrics.jsonl` lists the evaluations, and a
    process that goes on from a checkpoint drops those after it. Where the count
    began stands in `early_stop.json`: scores of other images, or another
    metric, are not compared.

    Args:
      run_dir: of the run.
      selection: how evaluations are compared.
    """

    def __init__(self, run_dir: RunDirectory, selection: Selection):
        self._run_dir = run_dir
        self._selection = selection
        self._path = run_dir.file(EARLY_STOP_FILE)

    def begin(self, step: int) -> None:
        """Notes, before a process trains on from `step`, where the count
        begins: here, or where an earlier process began it."""
        if not self._selection.patience:
            return
        since = self._since()
        if since is None or since > step:
            write_json(self._path, {"since": step, **self._kind()})

    def best(self) -> tuple[int, dict[str, float]] | None:
        """Step and score of the best evaluation, the earliest of equals; None
        where nothing was counted."""
        return self._judged()[0]

    def exhausted(self) -> bool:
        """True if the allowed number of evaluations in a row brought no
        improvement."""
        patience = self._selection.patience
        return bool(patience) and self._judged()[1] >= patience

    def _judged(self) -> tuple[tuple[int, dict[str, float]] | None, int]:
        """The best evaluation, and how many came after it."""
        since, best, waited = self._since(), None, 0
        if since is None:
            return None, 0
        for line in self._run_dir.read_metrics():
            if line["split"] != "eval" or line["step"] <= since:
                continue
            score = self._selection.comparable(line)
            if score and (best is None or _value(score) > _value(best[1])):
                best, waited = (line["step"], score), 0
            else:
                waited += 1
        return best, waited

    def _kind(self) -> dict[str, Any]:
        of = self._selection.scored_on
        return {"by": list(self._selection.by), "of": of and dict(of)}

    def _since(self) -> int | None:
        """The step after which evaluations count; None: none has begun to."""
        if not os.path.exists(self._path):
            return None
        found = read_json(self._path)
        same = {name: found.get(name) for name in ("by", "of")} == self._kind()
        return found["since"] if same else None


def _value(score: Mapping[str, float]) -> float:
    return next(iter(score.values()))
