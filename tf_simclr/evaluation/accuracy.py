"""Top-1 and top-5 accuracy of logits, and the intervals of scores.

With many classes a copy of all logits, in double precision, takes gigabytes.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

# Figures in a block: 4 MB in double precision.
_BLOCK_SIZE = 1 << 19


def by_blocks(
    function: Callable[..., np.ndarray],
    matrix: np.ndarray,
    rows: np.ndarray | None = None,
    *others: np.ndarray,
    block_size: int = _BLOCK_SIZE,
) -> np.ndarray:
    """The values (n,) of `function` for n rows of a matrix.

    Args:
      function: some rows (b, C), and those of `others` -> values (b,).
      matrix: (N, C).
      rows: int (n,), which ones; None for all.
      others: arrays (n, ...).
      block_size: figures of the matrix in a block, at most.
    """
    count = len(matrix) if rows is None else len(rows)
    size = max(1, block_size // max(1, matrix.shape[1]))
    found = []
    for start in range(0, max(count, 1), size):
        part = slice(start, min(start + size, count))
        block = matrix[part if rows is None else rows[part]]
        found.append(function(block, *(other[part] for other in others)))
    return np.concatenate(found)


def top_k_accuracy(labels: np.ndarray, logits: np.ndarray, k: int) -> float:
    """Share of labelled images whose class is among the k highest logits.

    Of equal logits the earlier class comes first, so that a network that
    tells nothing apart does not score full marks.

    Args:
      labels: (N,), -1 where unknown; those images do not count.
      logits: (N, classes).
      k: how many guesses.

    Raises:
      ValueError: no image has a label.
    """
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        raise ValueError("There is no accuracy without a labelled image.")
    return float(np.mean(label_ranks(labels[known], logits, known) < k))


def label_ranks(
    labels: np.ndarray, logits: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Number of classes ranked above an image's own, int (n,).

    Those with a higher logit, and of equal logits the earlier classes.

    Args:
      labels: int (n,), all known, of `rows`.
      logits: (N, C).
      rows: int (n,), which rows of the logits are meant.
    """

    def ranks(block: np.ndarray, labels: np.ndarray) -> np.ndarray:
        own = np.take_along_axis(block, labels[:, None], axis=1)
        earlier = np.arange(block.shape[1]) < labels[:, None]
        before = (block > own) | ((block == own) & earlier)
        return before.sum(axis=1)

    return by_blocks(ranks, logits, rows, labels)


RESAMPLES = 1000
LEVEL = 0.95
# Of the normal distribution, with LEVEL of it between - and +.
_DEVIATIONS = statistics.NormalDist().inv_cdf((1.0 + LEVEL) / 2.0)


class Interval(NamedTuple):
    """A score and the interval that it would lie in on other images."""

    value: float
    low: float
    high: float


def wilson_interval(hits: int, count: int) -> Interval:
    """A share and its 95 % score interval.

    It stays within [0, 1], and has a width even where all are hits (Wilson,
    JASA 1927; Brown, Cai and DasGupta, Statistical Science 2001).

    Args:
      hits: of `count`.
      count: N, above 0.
    """
    share, squared = hits / count, _DEVIATIONS**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    reach = (
        _DEVIATIONS
        / (1 + squared / count)
        * (share * (1 - share) / count + squared / (4 * count**2)) ** 0.5
    )
    low = 0.0 if hits == 0 else middle - reach
    high = 1.0 if hits == count else middle + reach
    return Interval(share, low, high)


def bootstrap_intervals(
    measure: Callable[[np.ndarray], Sequence[float]],
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
      measure: indices of images, int (N,), with repetitions -> values.
      count: N.
      seed: of the draws.
      resamples: how often N images are drawn with replacement.
      level: the share of the resampled values in the interval.

    Returns:
      One interval per statistic.
    """
    rng = np.random.default_rng(seed)
    values = measure(np.arange(count))
    drawn = np.array(
        [measure(rng.integers(0, count, count)) for _ in range(resamples)]
    )
    tail = (1.0 - level) / 2.0
    lows, highs = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return [
        Interval(float(value), float(low), float(high))
        for value, low, high in zip(values, lows, highs, strict=True)
    ]
