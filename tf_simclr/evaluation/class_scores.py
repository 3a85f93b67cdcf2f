"""Scores of single classes, and what they come to together."""

from typing import NamedTuple

import numpy as np


class ClassCounts(NamedTuple):
    """What class scores are made of, int (C,) each.

    Attributes:
      hits: images of the class that were called so.
      called: images that were called so.
      present: images of the class.
    """

    hits: np.ndarray
    called: np.ndarray
    present: np.ndarray


def class_counts(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> ClassCounts:
    """Counts labels (N,) and predictions (N,), both in [0, C), by class."""
    right = labels[labels == predictions]
    return ClassCounts(
        *(
            np.bincount(values, minlength=num_classes)
            for values in (right, predictions, labels)
        )
    )


def precision(counts: ClassCounts) -> np.ndarray:
    """Share of the images called so that are; 0 if none is called so."""
    return _share(counts.hits, counts.called)


def recall(counts: ClassCounts) -> np.ndarray:
    """Share of the class's images that were found; 0 if there are none."""
    return _share(counts.hits, counts.present)


def f1(counts: ClassCounts) -> np.ndarray:
    """Harmonic mean of precision and recall; 0 where both are."""
    return _share(2 * counts.hits, counts.called + counts.present)


def macro_f1(counts: ClassCounts) -> float:
    """Mean F1 of the classes that occur as a label or as a prediction."""
    occurs = counts.called + counts.present > 0
    return float(np.mean(f1(counts)[occurs]))


def cohen_kappa(counts: ClassCounts) -> float:
    """Agreement of labels and predictions beyond chance (Cohen, 1960).

    1 is perfect and 0 what independent guesses of the same frequencies give;
    1 where labels and predictions know a single class only.
    """
    total = counts.present.sum()
    agreed = counts.hits.sum() / total
    expected = (counts.called / total) @ (counts.present / total)
    if expected == 1.0:
        return 1.0
    return float((agreed - expected) / (1.0 - expected))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
