"""Cells of similar features, found by a tree of k-means."""

import math

import faiss
import numpy as np

# Branches of a node, and steps of each k-means.
_BRANCHES, _STEPS = 64, 4
# Rows per centroid that a k-means sees, as in faiss's own.
_SEEN = 39
# Rows whose nearest centroid is looked for at a time.
_ROWS = 65536


def centroids(rows: np.ndarray, largest: int) -> np.ndarray:
    """Finds centroids of cells of limited size, in time N log N.

    Rows are split by k-means, and each part again while it is too large
    (hierarchical k-means: Nister and Stewenius, CVPR 2006). Equal rows, which
    k-means cannot split, remain one cell.

    Args:
      rows: float32 (N, d), of length 1.
      largest: number of rows that a cell may have.

    Returns:
      float32 (K, d), the means of the cells.
    """
    found, open_parts = [], [np.arange(len(rows))]
    while open_parts:
        part = open_parts.pop()
        smaller = _split(rows, part, largest) if len(part) > largest else []
        if len(smaller) > 1:
            open_parts += smaller
        else:
            found.append(rows[part].mean(axis=0))
    return np.stack(found)


def _split(
    rows: np.ndarray, part: np.ndarray, largest: int
) -> list[np.ndarray]:
    """Parts, none empty, of the rows of a node.

    Args:
      rows: (N, d).
      part: int64 (n,), the rows of the node.
      largest: as above.
    """
    count = min(_BRANCHES, math.ceil(2 * len(part) / largest))
    kmeans = faiss.Kmeans(
        rows.shape[1],
        count,
        niter=_STEPS,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_SEEN,
    )
    kmeans.train(rows[part])
    nearest = np.concatenate(
        [
            kmeans.assign(rows[part[start : start + _ROWS]])[1]
            for start in range(0, len(part), _ROWS)
        ]
    )
    order = np.argsort(nearest, kind="stable")
    return np.split(part[order], np.flatnonzero(np.diff(nearest[order])) + 1)
