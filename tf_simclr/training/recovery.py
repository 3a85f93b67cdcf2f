"""Steps that fail: updates that float16 skips, losses that are not finite."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tf_simclr.files import read_json, write_json
from tf_simclr.progress import say
from tf_simclr.signals import TrainingFailed
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.update import LOSS_SCALE, SKIPPED

# A share of skipped updates above this one is told once it has been found in
# so many log lines in a row. At the start of a run the factor is still halved.
_MANY = 0.5
_LINES = 3


class SkipWatch:
    """Counts skipped updates for the progress lines; warns, once, of many.

    Args:
      first_step: where this process starts.
    """

    def __init__(self, first_step: int):
        self._before = 0.0
        self._shown_at, self._shown = first_step, 0.0
        self._lines = 0
        self._told = False

    def facts(
        self,
        step: int,
        since: int,
        metrics: Mapping[str, float],
        last: Mapping[str, float],
    ) -> list[str]:
        """Returns the facts of a progress line: none where nothing was skipped
        since the one before.

        Args:
          step: of the line.
          since: the step of the last log line.
          metrics: means over the steps in between.
          last: the metrics of the last step.
        """
        skipped = self._before + metrics.get(SKIPPED, 0.0) * (step - since)
        steps = max(step - self._shown_at, 1)
        share = min((skipped - self._shown) / steps, 1.0)
        self._shown_at, self._shown = step, skipped
        if not share > 0.0:
            return []
        shown = f"{share:.0%}" if share >= 0.01 else "<1%"
        return [f"loss scale {last[LOSS_SCALE]:g}", f"skipped {shown}"]

    def logged(
        self, step: int, since: int, metrics: Mapping[str, float]
    ) -> None:
        """Looks at the metrics of a log line, as `facts` does."""
        share = metrics.get(SKIPPED, 0.0)
        self._before += share * (step - since)
        self._lines = self._lines + 1 if share > _MANY else 0
        if self._lines < _LINES or self._told:
            return
        self._told = True
        say(
            f"Warning: at step {step} float16 skips {share:.0%} of the updates,"
            f" and more than half of them for {_LINES} log lines in a row:"
            " their gradients leave its range. Try --precision=mixed_bfloat16"
            " or --precision=float32."
        )


def check_some_taken(lines: Iterable[Mapping[str, Any]], step: int) -> None:
    """Refuses to call a run finished whose weights never changed.

    Args:
      lines: all of the run's `metrics.jsonl`.
      step: the last one.

    Raises:
      TrainingFailed: each of several updates was skipped.
    """
    shares = [
        line.get(SKIPPED, 0.0) for line in lines if line["split"] == "train"
    ]
    # A single step tries only the factor that every run starts with.
    if step > 1 and shares and min(shares) >= 1.0:
        raise TrainingFailed(
            f"Not one of the {step} updates was taken: no gradient was finite"
            " in float16, and the weights are those of the start. Take"
            " --precision=mixed_bfloat16 or --precision=float32 in a new"
            " directory, or more --train_steps: each skipped update halves"
            " the loss scale."
        )


RECOVERIES_FILE = "recoveries.json"


class NotFinite(TrainingFailed):
    """A step whose figures are not finite.

    Attributes:
      step: its number, counted from 1.
      figures: what is known of it, for `recoveries.json`.
    """

    def __init__(self, message: str, step: int, figures: dict[str, Any]):
        super().__init__(message)
        self.step = step
        self.figures = figures


class Recoveries:
    """The batches that a run leaves out, as `recoveries.json` lists them.

    Args:
      run_dir: where the list lies; a resumed run leaves out the same ones.
      allowed: how many there may be in all.
    """

    def __init__(self, run_dir: RunDirectory, allowed: int):
        self._path = run_dir.file(RECOVERIES_FILE)
        self._allowed = allowed
        self._made: list[dict[str, Any]] = []
        if os.path.exists(self._path):
            self._made = read_json(self._path)

    @property
    def left_out(self) -> tuple[int, ...]:
        """Ascending numbers of the batches that are left out."""
        return tuple(sorted(recovery["batch"] for recovery in self._made))

    def add(self, error: NotFinite) -> None:
        """Notes the batch of the step that failed.

        Raises:
          NotFinite: `error`, if no more may be left out.
        """
        if len(self._made) >= self._allowed:
            raise error
        batch = batch_number(error.step - 1, self.left_out)
        self._made.append({"step": error.step, "batch": batch, **error.figures})
        write_json(self._path, self._made)
        say(
            f"{error} Going back to the last checkpoint and leaving out batch"
            f" {batch} ({len(self._made)} of {self._allowed} times)."
        )


def batch_number(step: int, left_out: Sequence[int]) -> int:
    """The batch, counted from 0, that follows `step` steps.

    Args:
      step: steps behind it.
      left_out: ascending numbers of batches that no step uses.
    """
    number = step
    for other in left_out:
        if other <= number:
            number += 1
    return number


def batch_ranges(
    step: int, total_steps: int, left_out: Sequence[int]
) -> list[tuple[int, int]]:
    """(first, last + 1) of the batches between two steps, in order."""
    first = batch_number(step, left_out)
    stop = batch_number(total_steps - 1, left_out) + 1
    ranges = []
    for other in left_out:
        if first <= other < stop:
            ranges.append((first, other))
            first = other + 1
    ranges.append((first, stop))
    return [(start, end) for start, end in ranges if start < end]
