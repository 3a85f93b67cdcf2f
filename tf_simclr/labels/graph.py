"""The graph of neighbours along which labels are carried."""

import numpy as np
from scipy import sparse

from tf_simclr.labels.neighbours import Neighbours

# Neighbours of an image that a graph joins it to.
NEIGHBOURS = 10
# How fast a weight falls with the squared distance, in units of that of the
# last neighbour (Calder et al., ICML 2020, arXiv 2006.11184, section 4).
_STEEPNESS = 4.0


def neighbour_graph(neighbours: Neighbours) -> sparse.csr_array:
    """Symmetric weights of the pairs of neighbours.

    w_ij = exp(-4 d_ij^2 / d_ik^2) for the k neighbours of i, added to the
    transpose, where d_ij is the distance of unit vectors and d_ik that of the
    last neighbour.

    Args:
      neighbours: of N images.

    Returns:
      float64 (N, N), without a diagonal.
    """
    size, count = neighbours.indices.shape
    weights = neighbour_weights(neighbours)
    rows = np.repeat(np.arange(size), count)
    found = sparse.csr_array(
        (weights.ravel(), (rows, neighbours.indices.ravel())),
        shape=(size, size),
    )
    return (found + found.T).tocsr()


def neighbour_weights(neighbours: Neighbours) -> np.ndarray:
    """exp(-4 d_ij^2 / d_ik^2) for the k neighbours of each image: float64
    (N, k)."""
    squares = np.maximum(2.0 - 2.0 * neighbours.cosines.astype(np.float64), 0)
    # All neighbours of an image may be its copies.
    scale = np.maximum(squares[:, -1:], 1e-9)
    return np.exp(-_STEEPNESS * np.minimum(squares / scale, 1.0))


def normalised(graph: sparse.csr_array) -> sparse.csr_array:
    """D^-1/2 W D^-1/2, where D are the sums of W's rows: (N, N)."""
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags_array(1.0 / np.sqrt(np.maximum(degrees, 1e-300)))
    return (scale @ graph @ scale).tocsr()
