"""Carrying labels along a graph of neighbours."""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from tf_simclr.labels.graph import neighbour_weights, normalised
from tf_simclr.labels.neighbours import Neighbours
from tf_simclr.labels.solve import solve

# How much of a label is handed on: Zhou et al. (NeurIPS 2003), section 4.
ALPHA = 0.99
# What Poisson learning adds to each degree, relative to it.
_LIFT = 1e-4
# Labels that are left out one by one, and groups in which more of them are.
_LEFT_OUT, _FOLDS = 2000, 20
# Columns of a solution that are found at a time.
_AT_A_TIME = 64

Propagation = Callable[
    [sparse.csr_array, np.ndarray, np.ndarray, int], np.ndarray
]


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
    seeds = _one_hot(labels, num_classes)
    seeds /= np.maximum(seeds.sum(axis=0), 1)
    right = np.zeros((graph.shape[0], num_classes))
    np.add.at(right, places, seeds)
    spread = normalised(graph)
    found = solve(lambda x: x - alpha * (spread @ x), (1 - alpha) * right)
    return distributions(found)


def poisson_labels(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Poisson learning (Calder et al., ICML 2020, arXiv 2006.11184, eq. 2.2).

    (L + 1e-4 D) u = sum_j (y_j - mean y) delta_j, with the graph's Laplacian
    L = D - W. The part of D is not theirs: it makes the solution unique where
    the graph has several parts. Each class is weighed by the inverse of its
    share of the labels.

    Args, Returns:
      As `spread_labels`; a softmax-free distribution, from u without its
      negative part.
    """
    seeds = _one_hot(labels, num_classes)
    counts = seeds.sum(axis=0)
    right = np.zeros((graph.shape[0], num_classes))
    np.add.at(right, places, seeds - seeds.mean(axis=0))
    degrees = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    scale = 1 / np.sqrt(np.maximum(degrees, 1e-300))

    def laplacian(x: np.ndarray) -> np.ndarray:
        inner = scale * x
        return _LIFT * x + scale * (degrees * inner - graph @ inner)

    found = scale * solve(laplacian, scale * right)
    found -= (degrees * found).sum(axis=0) / degrees.sum()
    found *= len(labels) / np.maximum(counts, 1)
    found[:, counts == 0] = -np.inf
    return distributions(np.maximum(found, 0))


# Name -> how labels are carried.
PROPAGATIONS: dict[str, Propagation] = {
    "spreading": spread_labels,
    "poisson": poisson_labels,
}


def distributions(values: np.ndarray) -> np.ndarray:
    """Rows float32 (N, C) that sum to 1, of values (N, C); even where none is
    above 0."""
    values = np.maximum(values, 0)
    sums = values.sum(axis=1, keepdims=True)
    even = 1.0 / values.shape[1]
    return np.where(
        sums > 0, values / np.where(sums > 0, sums, 1), even
    ).astype(np.float32)


def entropies(found: np.ndarray) -> np.ndarray:
    """float32 (N,): the entropy of distributions (N, C), in nats."""
    return -np.sum(
        found * np.log(np.maximum(found, 1e-30)), axis=1, dtype=np.float32
    )


def carried_to(found: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    """The distributions of images that are not in the graph.

    Args:
      found: float32 (N, C), of the images in it.
      neighbours: of M other images among those, (M, k).

    Returns:
      float32 (M, C): the mean of the neighbours', by their weights.
    """
    weights = neighbour_weights(neighbours)[:, :, np.newaxis]
    return distributions((weights * found[neighbours.indices]).sum(axis=1))


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
    seeds = _one_hot(labels, num_classes)
    counts = seeds.sum(axis=0) - seeds
    return distributions(reach @ seeds / np.maximum(counts, 1))


def _reach(
    graph: sparse.csr_array, places: np.ndarray, alpha: float
) -> np.ndarray:
    """float64 (n, n): how much of each label comes to each labelled image."""
    spread = normalised(graph)
    found = np.zeros((len(places), len(places)))
    for start in range(0, len(places), _AT_A_TIME):
        some = places[start : start + _AT_A_TIME]
        right = np.zeros((graph.shape[0], len(some)))
        right[some, np.arange(len(some))] = 1 - alpha
        columns = solve(lambda x: x - alpha * (spread @ x), right)
        found[:, start : start + len(some)] = columns[places]
    return found


def _one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    return np.eye(num_classes)[np.asarray(labels, int)]
