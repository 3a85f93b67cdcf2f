"""Steps at which something is logged, saved or evaluated."""

import dataclasses
import math
from fractions import Fraction

from tf_simclr.config.train import TrainConfig
from tf_simclr.progress import INTERVAL

# Steps between checkpoints, at least, where epochs count: with few labels an
# epoch is a single step, and saving may take longer than that.
_LEAST_STEPS = 100


@dataclasses.dataclass(frozen=True)
class Pace:
    """Seconds between two looks at the clock, and between progress lines.

    Attributes:
      chunk_seconds: device time between two looks at the clock.
      line_seconds: between two lines of progress.
    """

    chunk_seconds: float = 2.0
    line_seconds: float = INTERVAL

    def next_chunk(self, count: int, chunk: int, seconds: float) -> int:
        """Steps per call: more where the last one took little time.

        Args:
          count: steps that it took.
          chunk: as many as it might have.
          seconds: how long it took.
        """
        if count < chunk:
            return chunk
        wanted = count * self.chunk_seconds / max(seconds, 1e-3)
        return max(1, min(2 * chunk, int(wanted)))


USUAL_PACE = Pace()


class Intervals:
    """The steps of a run at which more happens than training.

    They follow from the step alone, so that a resumed run has the same.

    Args:
      config: the intervals.
      total_steps: steps of the whole run.
      steps_per_epoch: how many steps go through all images once. Exact as a
        `Fraction`.
    """

    def __init__(
        self,
        config: TrainConfig,
        total_steps: int,
        steps_per_epoch: Fraction | float,
    ):
        epoch = Fraction(steps_per_epoch)
        self._total = total_steps
        epochs = config.checkpoint_epochs * epoch
        save_every = (
            config.checkpoint_steps or math.ceil(_LEAST_STEPS / epochs) * epochs
        )
        log_every = config.log_every_steps or min(
            50, max(1, total_steps // 100)
        )
        self._saves, self._logs = _Every(save_every), _Every(log_every)
        self._shows = _Every(config.log_every_steps)
        self._evaluates = _Every(config.eval_every_epochs * epoch)

    def next(self, step: int) -> int:
        """The first step after `step` at which anything is due."""
        every = (self._saves, self._logs, self._evaluates)
        return min(self._total, *(each.next(step) for each in every))

    def logs(self, step: int) -> bool:
        """True if metrics are written: also with each checkpoint and each
        evaluation, which are of little use without them."""
        return self._logs.due(step) or self.saves(step) or self.evaluates(step)

    def shows(self, step: int) -> bool:
        """True if `--log_every_steps` asks for a progress line."""
        return self._shows.due(step)

    def saves(self, step: int) -> bool:
        """True if a checkpoint is due."""
        return self._saves.due(step) or step == self._total

    def evaluates(self, step: int) -> bool:
        """True if an evaluation is due; the one at the end does not count."""
        return self._evaluates.due(step) and step != self._total


class _Every:
    """The multiples of an interval, each rounded to a whole step.

    Args:
      interval: in steps, not a whole number where an epoch is none; 0: never.
    """

    def __init__(self, interval: Fraction | int):
        self._interval = Fraction(interval)

    def next(self, step: int) -> float:
        """The first step after `step`; infinity if there is none."""
        if not self._interval:
            return math.inf
        # The first multiple that is rounded (half up) to more than `step`.
        half = Fraction(1, 2)
        number = math.ceil((step + half) / self._interval)
        return math.floor(number * self._interval + half)

    def due(self, step: int) -> bool:
        """True if a multiple above 0 is rounded to this step."""
        return step > 0 and self.next(step - 1) == step
