"""After a loss that is not finite: back, and around the offending batch."""

import os
from collections.abc import Sequence
from typing import Any

from tf_simclr.files import read_json, write_json
from tf_simclr.training.progress import say
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.stop import TrainingFailed

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
