"""Poisson learning on a graph of neighbours, and its form with class sizes.

Calder, Cook, Thorpe, Slepcev, ICML 2020 (arXiv 2006.11184).
"""

import numpy as np
from scipy import sparse

from tf_simclr.labels.distributions import distributions, one_hot
from tf_simclr.labels.solve import solve

# What Poisson learning adds to each degree, relative to it.
_LIFT = 1e-4
# Of the paper's algorithm 2: rounds, steps of the heat flow in each, and of
# the search for the weights of classes, with its bounds. Its rate, 10, jumps
# between the bounds where clouds overlap; 1 comes to rest
# (`tests/test_poisson.py`).
_ROUNDS, _STEPS = 20, 40
_SEARCH, _RATE, _LEAST, _MOST = 100, 1.0, 0.5, 1.8


def poisson_labels(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Poisson learning (eq. 2.2 of the paper).

    (L + 1e-4 D) u = sum_j (y_j - mean y) delta_j, with the graph's Laplacian
    L = D - W. The part of D is not theirs: it makes the solution unique where
    the graph has several parts. Each class is weighed by the inverse of its
    share of the labels.

    Args:
      graph, places, labels, num_classes: as of `spread_labels`.

    Returns:
      float32 (N, C): a softmax-free distribution, from u without its negative
      part.
    """
    found = _potential(graph, _source(graph, places, labels, num_classes))
    counts = np.bincount(labels, minlength=num_classes)
    found *= len(labels) / np.maximum(counts, 1)
    found[:, counts == 0] = -np.inf
    return distributions(np.maximum(found, 0))


def poisson_mbo_labels(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    shares: np.ndarray | None = None,
) -> np.ndarray:
    """PoissonMBO (algorithm 2 of the paper): Poisson learning with given shares
    of the classes.

    Starts from Poisson learning. In turn, heat flows along the graph from the
    labels, and each image gets the class that then weighs most, where the
    classes' weights are those that make their sizes right. The steps of the
    flow are those of algorithm 1, by D^-1, instead of one size for all images.

    Args:
      graph, places, labels, num_classes: as of `spread_labels`.
      shares: (C,), the part of all images in each class; by default the same
        for all that have a label.

    Returns:
      float32 (N, C): 1 for the class of each image.
    """
    seen = np.bincount(labels, minlength=num_classes) > 0
    if shares is None:
        shares = seen / seen.sum()
    source = _source(graph, places, labels, num_classes)
    found = _potential(graph, source)
    degrees = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    inverse = 1 / np.maximum(degrees, 1e-300)
    walk, heat = (graph.multiply(inverse)).tocsr(), inverse * source
    for _ in range(_ROUNDS):
        for _ in range(_STEPS):
            found = walk @ found + heat
        found[:, ~seen] = -np.inf
        found = one_hot(_sized(found, shares), num_classes)
    return found.astype(np.float32)


def _sized(found: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The class of each image, of about the shares wanted."""
    weights = np.ones(len(shares))
    for _ in range(_SEARCH):
        best = _weighed(found, weights)
        sizes = np.bincount(best, minlength=len(shares)) / len(found)
        weights += _RATE * (shares - sizes)
        weights = np.clip(weights, _LEAST, _MOST)
    return _weighed(found, weights)


def _weighed(found: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (found * weights).argmax(axis=1)


def _source(
    graph: sparse.csr_array,
    places: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Labels as sources of heat that sum to 0: float64 (N, C)."""
    seeds = one_hot(labels, num_classes)
    found = np.zeros((graph.shape[0], num_classes))
    np.add.at(found, places, seeds - seeds.mean(axis=0))
    return found


def _potential(graph: sparse.csr_array, source: np.ndarray) -> np.ndarray:
    """u of L u = source, float64 (N, C), with mean 0 by degree."""
    degrees = np.asarray(graph.sum(axis=1)).reshape(-1, 1)
    scale = 1 / np.sqrt(np.maximum(degrees, 1e-300))

    def laplacian(x: np.ndarray) -> np.ndarray:
        inner = scale * x
        return _LIFT * x + scale * (degrees * inner - graph @ inner)

    found = scale * solve(laplacian, scale * source)
    return found - (degrees * found).sum(axis=0) / degrees.sum()
