"""Learning-rate range test: the rate grows from step to step.

Smith, "Cyclical Learning Rates for Training Neural Networks" (WACV 2017,
arXiv 1506.01186), section 3.3; exponentially, as fastai does it.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from tf_simclr.optimizers.schedule import SchedulePlan

# Steps on either side that a loss is averaged with: an average of those before
# alone would lag half a power of ten behind.
_REACH = 4
# A loss above this many times the best one has diverged.
_DIVERGED = 4.0
# The first steps say more about the start than about the rate.
_SETTLED = 5


def growing_rate(
    step: tf.Tensor, lowest: float, highest: float, steps: int
) -> tf.Tensor:
    """lowest (highest / lowest)^(step / (steps - 1)).

    Args:
      step: scalar or tensor, counted from 0.
      lowest, highest: rates of the first and of the last step.
      steps: how many there are, at least 2.

    Returns:
      float32, of the shape of `step`.
    """
    progress = tf.cast(step, tf.float32) / (steps - 1)
    return lowest * tf.exp(progress * math.log(highest / lowest))


class GrowingRate(keras.optimizers.schedules.LearningRateSchedule):
    """`growing_rate` as a Keras schedule."""

    def __init__(self, lowest: float, highest: float, steps: int):
        self.lowest = lowest
        self.highest = highest
        self.steps = steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        return growing_rate(step, self.lowest, self.highest, self.steps)

    def get_config(self) -> dict:
        """The arguments that make it again."""
        return {
            "lowest": self.lowest,
            "highest": self.highest,
            "steps": self.steps,
        }


@dataclasses.dataclass(frozen=True)
class RangeTestPlan(SchedulePlan):
    """The plan of a range test.

    Attributes:
      lowest: rate of the first step; `peak` is that of the last one.
    """

    lowest: float = 1e-6

    def schedule(self) -> GrowingRate:
        """The learning rate of each step."""
        return GrowingRate(self.lowest, self.peak, self.total_steps)

    def rates(self) -> np.ndarray:
        """Learning rates of all steps: float64 (steps,)."""
        return np.geomspace(self.lowest, self.peak, self.total_steps)


@dataclasses.dataclass(frozen=True)
class RangeTest:
    """The findings of a range test.

    Attributes:
      rates: float (n,), of the steps until the loss diverged.
      losses: float (n,), theirs.
      smoothed: float (n,), their centered moving average.
      suggestion: a learning rate; None: the loss did not fall.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None


def range_test(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """Reads a range test: a tenth of the rate where the loss is lowest.

    Beyond that rate it rises; a tenth of it is still safe for a whole run
    (fastai's "minimum").

    Args:
      rates: (n,), of each step, rising.
      losses: (n,), which may end with one that is not finite.
    """
    found = _until_diverged(np.asarray(losses, np.float64))
    smoothed = _smoothed(found)
    rates = np.asarray(rates, np.float64)[: len(found)]
    suggestion = None
    if len(found) > _SETTLED:
        best = _SETTLED + int(np.argmin(smoothed[_SETTLED:]))
        if best > _SETTLED and smoothed[best] < smoothed[_SETTLED]:
            suggestion = float(rates[best] / 10)
    return RangeTest(rates, found, smoothed, suggestion)


def has_diverged(losses: Sequence[float]) -> bool:
    """True if the last of losses (n,) is far above the best, or no number."""
    return len(_until_diverged(np.asarray(losses, np.float64))) < len(losses)


def _until_diverged(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    losses = losses[: bad[0]] if len(bad) else losses
    if len(losses) <= _SETTLED:
        return losses
    best = np.minimum.accumulate(losses)
    # A loss below 0 has no multiple that is worse.
    far = (losses > _DIVERGED * best) & (best > 0)
    far[:_SETTLED] = False
    ends = np.flatnonzero(far)
    return losses[: ends[0]] if len(ends) else losses


def _smoothed(losses: np.ndarray) -> np.ndarray:
    """Each loss with those around it, fewer at the ends."""
    return np.array(
        [
            losses[max(step - _REACH, 0) : step + _REACH + 1].mean()
            for step in range(len(losses))
        ]
    )
