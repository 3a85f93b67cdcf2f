"""Reliability of a classifier's confidence, and temperature scaling.

Guo et al., On calibration of modern neural networks (arXiv 1706.04599).
"""

from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.accuracy import by_blocks

BINS = 15
# Where every image is right (or none) the best temperature is 0 (or has no
# bound); the search stays in here.
TEMPERATURES = (0.05, 20.0)
_HALVINGS = 40


class Reliability(NamedTuple):
    """Images in bins of equal width of confidence, arrays of (bins,) each.

    Attributes:
      confidence: mean probability of the predicted class; 0 in empty bins.
      accuracy: share of correct predictions; 0 in empty bins.
      count: images in the bin.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap, weighted by images."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float(np.average(gaps, weights=self.count))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities (N, C) of logits (N, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted.astype(np.float64))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def confidences(
    logits: np.ndarray,
    rows: np.ndarray | None = None,
    temperature: float | None = None,
) -> np.ndarray:
    """The highest probability of each row, float (n,).

    Args:
      logits: (N, C).
      rows: int (n,), which ones are meant; None for all.
      temperature: divides the logits.
    """

    def highest(block: np.ndarray) -> np.ndarray:
        return softmax(_divided(block, temperature)).max(axis=1)

    return by_blocks(highest, logits, rows)


def reliability(
    labels: np.ndarray,
    logits: np.ndarray,
    bins: int = BINS,
    rows: np.ndarray | None = None,
    temperature: float | None = None,
) -> Reliability:
    """Confidence and accuracy of the predictions, binned by confidence.

    Args:
      labels: int (n,), all known; n above 0.
      logits: (N, C).
      bins: of equal width in [0, 1]; each includes its upper edge.
      rows: int (n,), which logits are meant; None for all.
      temperature: divides the logits.
    """
    confidence = confidences(logits, rows, temperature)

    def guess(block: np.ndarray) -> np.ndarray:
        return np.argmax(_divided(block, temperature), axis=1)

    correct = by_blocks(guess, logits, rows) == labels
    index = np.ceil(confidence * bins).astype(int).clip(1, bins) - 1
    count = np.bincount(index, minlength=bins)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(index, weights=values, minlength=bins)
        return sums / np.maximum(count, 1)

    return Reliability(mean(confidence), mean(correct.astype(float)), count)


def fit_temperature(
    labels: np.ndarray, logits: np.ndarray, rows: np.ndarray | None = None
) -> float:
    """The temperature that minimises the cross-entropy of logits / T.

    The cross-entropy is convex in 1/T; its slope, the mean difference between
    the expected logit and that of the label, is brought to 0 by bisection.

    Args:
      labels: int (n,), all known; n above 0.
      logits: (N, C).
      rows: int (n,), which logits are meant; None for all.

    Returns:
      T, within `TEMPERATURES`.
    """
    chosen = np.arange(len(labels)) if rows is None else rows
    target = logits[chosen, labels].astype(np.float64)

    def expected_logits(block: np.ndarray) -> np.ndarray:
        block = block.astype(np.float64)
        return np.sum(softmax(middle * block) * block, axis=1)

    low, high = (1.0 / bound for bound in reversed(TEMPERATURES))
    for _ in range(_HALVINGS):
        # Halves the ratio: the scale of logits may be anything.
        middle = np.sqrt(low * high)
        expected = by_blocks(expected_logits, logits, rows)
        if np.mean(expected - target) > 0:
            high = middle
        else:
            low = middle
    return float(1.0 / np.sqrt(low * high))


def _divided(logits: np.ndarray, temperature: float | None) -> np.ndarray:
    return logits if temperature is None else logits / temperature
