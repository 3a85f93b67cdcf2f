"""Label spreading along a graph of neighbours, also without a label of it."""

import numpy as np
from scipy import sparse

from tf_simclr.labels.distributions import distributions, one_hot
from tf_simclr.labels.graph import normalised
from tf_simclr.labels.solve import solve

# How much of a label is handed on: Zhou et al. (NeurIPS 2003), section 4.
ALPHA = 0.99
# Labels that are left out one by one, and groups in which more of them are.
_LEFT_OUT, _FOLDS = 2000, 20
# Columns of a solution that are found at a time.
_AT_A_TIME = 64


def spread_labels(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    alpha: float = ALPHA,
) -> np.ndarray:
    """Label spreading, each class with the same total weight.

    F = (1 - alpha) (I - alpha S)^-1 Y with S = D^-1/2 W D^-1/2 (Zhou et al.,
    NeurIPS 2003), where the columns of Y are divided by their sums: else the
    class with most labels wins.

    Args:
      graph: (N, N), from `neighbour_graph`.
      places: int (n,) of the labelled images.
      labels: int (n,), their classes.
      num_classes: C.
      alpha: how much of a label is handed on, in (0, 1).

    Returns:
      float32 (N, C): the distribution of each image over the classes; even
      where no label reaches.
    """
    seeds = one_hot(labels, num_classes)
    seeds /= np.maximum(seeds.sum(axis=0), 1)
    right = np.zeros((graph.shape[0], num_classes))
    np.add.at(right, places, seeds)
    spread = normalised(graph)
    found = solve(lambda x: x - alpha * (spread @ x), (1 - alpha) * right)
    return distributions(found)


def held_out(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    most: int = _LEFT_OUT,
    folds: int = _FOLDS,
) -> np.ndarray:
    """Distributions of labelled images that spread from the other labels.

    Of many labels, some are left out together, each one once.

    Args:
      graph, places, labels, num_classes: as of `spread_labels`.
      most: labels that are left out one by one.
      folds: in how many groups more of them are.

    Returns:
      float32 (n, C).
    """
    if len(places) <= most:
        return leave_one_out(graph, places, labels, num_classes)
    fold = np.random.default_rng(0).permutation(len(places)) % folds
    found = np.empty((len(places), num_classes), np.float32)
    for number in range(folds):
        out = fold == number
        spread = spread_labels(graph, places[~out], labels[~out], num_classes)
        found[out] = spread[places[out]]
    return found


def leave_one_out(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    alpha: float = ALPHA,
) -> np.ndarray:
    """Distributions of labelled images, each without its own label.

    Exact, and no more work than one class per label: what a label adds to the
    others is a column of the inverse, so that leaving it out is a difference.

    Args:
      graph, places, labels, num_classes, alpha: as of `spread_labels`.

    Returns:
      float32 (n, C): the distribution of each labelled image.
    """
    reach = _reach(graph, places, alpha)
    np.fill_diagonal(reach, 0)
    seeds = one_hot(labels, num_classes)
    counts = seeds.sum(axis=0) - seeds
    return distributions(reach @ seeds / np.maximum(counts, 1))


def _reach(
    graph: sparse.csr_array, places: np.ndarray, alpha: float
) -> np.ndarray:
    """float64 (n, n): weight with which each label reaches each labelled
    image."""
    spread = normalised(graph)
    found = np.zeros((len(places), len(places)))
    for start in range(0, len(places), _AT_A_TIME):
        some = places[start : start + _AT_A_TIME]
        right = np.zeros((graph.shape[0], len(some)))
        right[some, np.arange(len(some))] = 1 - alpha
        columns = solve(lambda x: x - alpha * (spread @ x), right)
        found[:, start : start + len(some)] = columns[places]
    return found
