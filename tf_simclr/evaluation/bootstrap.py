"""Intervals of scores, by drawing the images again."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """A score and the interval that it would lie in on other images."""

    value: float
    low: float
    high: float


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], Sequence[float]],
    count: int,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> list[Interval]:
    """Percentile intervals of several statistics of one set of images.

    They tell how far a score depends on which images happened to be there to
    test on; not on the training (Efron and Tibshirani, 1993, chapter 13).

    Args:
      statistics: indices of images, int (N,), with repetitions -> values.
      count: N.
      seed: of the draws.
      resamples: how often N images are drawn with replacement.
      level: the share of the resampled values in the interval.

    Returns:
      One interval per statistic.
    """
    rng = np.random.default_rng(seed)
    values = statistics(np.arange(count))
    drawn = np.array(
        [statistics(rng.integers(0, count, count)) for _ in range(resamples)]
    )
    tail = (1.0 - level) / 2.0
    lows, highs = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return [
        Interval(float(value), float(low), float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
