"""Distributions of images over classes."""

import numpy as np

from tf_simclr.labels.graph import neighbour_weights
from tf_simclr.labels.neighbours import Neighbours


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


def one_hot(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """float64 (n, C): a 1 at each of the classes (n,)."""
    return np.eye(num_classes)[np.asarray(labels, int)]
