"""Which classes are taken for which."""

import numpy as np


def confusion_matrix(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> np.ndarray:
    """How many images of class i (row) were called j (column).

    Args:
      labels: int (N,), in [0, C).
      predictions: int (N,), in [0, C).
      num_classes: C.

    Returns:
      int64 (C, C).
    """
    cells = labels.astype(np.int64) * num_classes + predictions
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def most_confused(matrix: np.ndarray, limit: int) -> list[tuple[int, int, int]]:
    """The most frequent mistakes: (label, prediction, how often)."""
    wrong = matrix - np.diag(np.diag(matrix))
    cells = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = zip(*np.unravel_index(cells, matrix.shape), strict=True)
    return [(int(i), int(j), int(wrong[i, j])) for i, j in pairs if wrong[i, j]]
