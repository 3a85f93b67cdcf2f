"""Updates that float16 skips: shown, warned of, and never all of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from tf_simclr.training.progress import say
from tf_simclr.training.stop import TrainingFailed
from tf_simclr.training.update import LOSS_SCALE, SKIPPED

# A share of skipped updates above this one is told once it has been found in
# so many log lines in a row. At the start of a run the factor is still halved.
_MANY = 0.5
_LINES = 3


def skipped_facts(
    metrics: Mapping[str, float], last: Mapping[str, float]
) -> list[str]:
    """Returns the facts of a progress line: none where nothing was skipped.

    Args:
      metrics: means over the steps since the last log line.
      last: the metrics of the last step.
    """
    share = metrics.get(SKIPPED, 0.0)
    if not share > 0.0:
        return []
    shown = f"{share:.0%}" if share >= 0.01 else "<1%"
    return [f"loss scale {last[LOSS_SCALE]:g}", f"skipped {shown}"]


class SkipWatch:
    """Warns, once, of updates most of which are skipped."""

    def __init__(self) -> None:
        self._lines = 0
        self._told = False

    def logged(self, step: int, metrics: Mapping[str, float]) -> None:
        """Looks at the metrics of a log line."""
        many = metrics.get(SKIPPED, 0.0) > _MANY
        self._lines = self._lines + 1 if many else 0
        if self._lines < _LINES or self._told:
            return
        self._told = True
        say(
            f"Warning: at step {step} float16 skips {metrics[SKIPPED]:.0%} of"
            f" the updates, and more than half of them for {_LINES} log lines"
            " in a row: their gradients leave its range. Try"
            " --precision=mixed_bfloat16 or --precision=float32."
        )


def check_some_taken(lines: Iterable[Mapping[str, Any]], step: int) -> None:
    """Refuses to call a run finished whose weights never changed.

    Args:
      lines: all of the run's `metrics.jsonl`.
      step: the last one.

    Raises:
      TrainingFailed: each update up to `step` was skipped.
    """
    shares = [
        line.get(SKIPPED, 0.0) for line in lines if line["split"] == "train"
    ]
    if shares and min(shares) >= 1.0:
        raise TrainingFailed(
            f"Not one of the {step} updates was taken: no gradient was finite"
            " in float16, and the weights are those of the start. Take"
            " --precision=mixed_bfloat16 or --precision=float32 in a new"
            " directory, or more --train_steps: each skipped update halves"
            " the loss scale."
        )
