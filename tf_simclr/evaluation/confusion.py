"""Confusions between classes, and the scores of single classes."""

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True)
class Confusions:
    """The cells of a confusion matrix that are not zero.

    There are at most as many as images: the whole matrix of 21,000 classes
    takes 3.5 GB.

    Attributes:
      labels: int64 (n,), rows of the cells, ascending.
      predictions: int64 (n,), their columns, ascending within a row.
      times: int64 (n,), how many images of that class were called so.
      num_classes: C.
    """

    labels: np.ndarray
    predictions: np.ndarray
    times: np.ndarray
    num_classes: int

    def matrix(self) -> np.ndarray:
        """The whole matrix, int64 (C, C)."""
        matrix = np.zeros((self.num_classes, self.num_classes), np.int64)
        matrix[self.labels, self.predictions] = self.times
        return matrix

    def rows(self) -> Iterator[dict[int, int]]:
        """Per class: {prediction: how often}."""
        ends = np.searchsorted(self.labels, np.arange(self.num_classes + 1))
        predictions, times = self.predictions.tolist(), self.times.tolist()
        for start, end in zip(ends[:-1], ends[1:], strict=True):
            pairs = zip(predictions[start:end], times[start:end], strict=True)
            yield dict(pairs)

    def grouped(self, size: int) -> "Confusions":
        """Counts of groups of `size` neighbouring classes."""
        return _counted(
            self.labels // size,
            self.predictions // size,
            self.times,
            -(-self.num_classes // size),
        )


def count_confusions(
    labels: np.ndarray, predictions: np.ndarray, num_classes: int
) -> Confusions:
    """Counts how many images of each class were called what.

    Args:
      labels: int (N,), in [0, C).
      predictions: int (N,), in [0, C).
      num_classes: C.
    """
    times = np.ones(len(labels), np.int64)
    return _counted(labels, predictions, times, num_classes)


def most_confused(
    confusions: Confusions, limit: int
) -> list[tuple[int, int, int]]:
    """The most frequent mistakes: (label, prediction, how often)."""
    wrong = np.flatnonzero(confusions.labels != confusions.predictions)
    order = np.argsort(-confusions.times[wrong], kind="stable")[:limit]
    return [
        (
            int(confusions.labels[cell]),
            int(confusions.predictions[cell]),
            int(confusions.times[cell]),
        )
        for cell in wrong[order]
    ]


def _counted(
    labels: np.ndarray,
    predictions: np.ndarray,
    times: np.ndarray,
    num_classes: int,
) -> Confusions:
    cells = labels.astype(np.int64) * num_classes + predictions
    filled, place = np.unique(cells, return_inverse=True)
    sums = np.zeros(len(filled), np.int64)
    np.add.at(sums, place, times)
    return Confusions(
        filled // num_classes, filled % num_classes, sums, num_classes
    )


class ClassCounts(NamedTuple):
    """Counts that class scores are made of, int (C,) each.

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
    """Share of the images called so that are, (C,); 0 if none is called so."""
    return _share(counts.hits, counts.called)


def recall(counts: ClassCounts) -> np.ndarray:
    """Share of a class's images that were found, (C,); 0 if it has none."""
    return _share(counts.hits, counts.present)


def f1(counts: ClassCounts) -> np.ndarray:
    """Harmonic mean of precision and recall, (C,); 0 where both are."""
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
