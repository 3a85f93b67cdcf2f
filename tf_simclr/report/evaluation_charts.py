"""Contents of an evaluation's charts, whether drawn as SVG or as PNG."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.calibration import Reliability

# Above these, class names and counts would be too small to read.
_NAMED = 40
_NUMBERED = 20
# A number on a cell with a larger share is written in white.
_DARK = 0.5


class ConfusionCells(NamedTuple):
    """A confusion matrix as it is drawn.

    Attributes:
      shares: float (C, C), of the images of the row's class.
      names: of rows and columns; empty where they cannot be read.
      numbers: {(row, column): images}, without zeros; empty where they cannot
        be read.
    """

    shares: np.ndarray
    names: tuple[str, ...]
    numbers: dict[tuple[int, int], str]

    def is_dark(self, row: int, column: int) -> bool:
        """True if a number on this cell must be light."""
        return bool(self.shares[row, column] > _DARK)


def confusion_cells(matrix: np.ndarray, names: Sequence[str]) -> ConfusionCells:
    """Returns what is drawn of a confusion matrix.

    Args:
      matrix: int (C, C), rows are labels, columns predictions.
      names: C short names.
    """
    count = len(matrix)
    numbers = {}
    if count <= _NUMBERED:
        for row, column in np.argwhere(matrix).tolist():
            numbers[row, column] = str(matrix[row, column])
    return ConfusionCells(
        matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1),
        tuple(names) if count <= _NAMED else (),
        numbers,
    )


class ReliabilityBar(NamedTuple):
    """A range of confidence with images in it.

    Attributes:
      left, right: its bounds.
      accuracy: share of its images that are right.
      confidence: their mean confidence.
    """

    left: float
    right: float
    accuracy: float
    confidence: float


def reliability_bars(bins: Reliability) -> list[ReliabilityBar]:
    """Returns the bins that are drawn: those with images."""
    count = len(bins.count)
    return [
        ReliabilityBar(
            index / count,
            (index + 1) / count,
            float(bins.accuracy[index]),
            float(bins.confidence[index]),
        )
        for index in np.flatnonzero(bins.count).tolist()
    ]


def short(name: str, length: int = 18) -> str:
    """A name that fits beside a chart."""
    return name if len(name) <= length else f"{name[: length - 1]}…"
