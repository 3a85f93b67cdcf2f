"""Worth of the first labels of a list."""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import sparse

from tf_simclr.labels.spreading import held_out, spread_labels

# Fewer labels than this say little.
_FEWEST = 5


@dataclasses.dataclass(frozen=True)
class Spent:
    """Labels that were carried along features after some of them were given.

    Attributes:
      labels: how many.
      accuracy: of the evaluation images, in [0, 1]; None without any.
      estimate: share of the labels that follow from the others; None where
        none can be left out.
    """

    labels: int
    accuracy: float | None
    estimate: float | None


def halvings(count: int) -> list[int]:
    """`count`, its half, a quarter and so on, from the smallest that counts."""
    found = [count]
    while found[0] // 2 >= _FEWEST:
        found.insert(0, found[0] // 2)
    return found


def spent_labels(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    score: Callable[[np.ndarray], float] | None = None,
) -> list[Spent]:
    """The worth of the first half of the labels, the first quarter and so on,
    the fewest first.

    Args:
      graph, places, labels, num_classes: as of `spread_labels`; in the order
        in which the labels were given.
      score: of distributions (N, C) of the images in the graph.
    """
    found = []
    for count in halvings(len(places))[:-1]:
        some, known = places[:count], labels[:count]
        accuracy = None
        if score is not None:
            accuracy = score(spread_labels(graph, some, known, num_classes))
        without = held_out(graph, some, known, num_classes)
        found.append(Spent(count, accuracy, estimated(known, without)))
    return found


def estimated(labels: np.ndarray, without: np.ndarray) -> float | None:
    """Share of the labels that the other labels predict, in [0, 1]; None where
    no class has two.

    Args:
      labels: (n,), classes.
      without: (n, C), from `held_out`.
    """
    if np.bincount(labels).max() < 2:
        return None
    return float(np.mean(without.argmax(axis=1) == labels))
