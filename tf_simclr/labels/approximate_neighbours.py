"""Nearest neighbours of features by an index, for a million images.

The index is faiss's inverted file (Douze et al., "The Faiss library", 2024,
arXiv 2401.08281): k-means cells, of which each image is compared with those
nearest to it.
"""

import importlib.util
import math
from collections.abc import Callable

import numpy as np

from tf_simclr.errors import UserError
from tf_simclr.labels.neighbours import (
    Neighbours,
    nearest_neighbours,
    unit_rows,
)
from tf_simclr.signals import stop_point

# Cells for N images: 4 sqrt(N), as faiss's guidelines have it.
_CELLS = 4
# Cells that an image is compared with: more find more of the true neighbours,
# in more time (benchmarks/speed/neighbour_search.py).
_PROBED = 16
# Images of each cell that k-means sees, and its steps.
_SEEN, _STEPS = 39, 4
# Images that are looked for, or added, at a time.
_ROWS = 16384
# Fewer are compared with each other sooner than an index is made.
_FEWEST = 5_000


def check_search(search: str) -> None:
    """Refuses an approximate search where its package is missing.

    Args:
      search: as --neighbour_search has it.

    Raises:
      UserError: it is not installed.
    """
    if search == "approximate" and importlib.util.find_spec("faiss") is None:
        raise UserError(
            "--neighbour_search=approximate needs a package that is not"
            " installed: pip install faiss-cpu, or take"
            " --neighbour_search=exact."
        )


def neighbours_by(
    search: str,
    features: np.ndarray,
    count: int,
    done: Callable[[int], None] | None = None,
    among: np.ndarray | None = None,
) -> Neighbours:
    """Finds images most similar by cosine, as --neighbour_search says.

    Args:
      search: 'exact' or 'approximate'.
      features: (N, d), of any floating type.
      count: k, neighbours of each.
      done: called with the number of images that were looked at.
      among: (M, d), other images, to look among; None: the images themselves.
    """
    if search == "exact":
        return nearest_neighbours(features, count, done=done, among=among)
    return approximate_neighbours(features, count, done, among)


def approximate_neighbours(
    features: np.ndarray,
    count: int,
    done: Callable[[int], None] | None = None,
    among: np.ndarray | None = None,
    fewest: int = _FEWEST,
) -> Neighbours:
    """Finds images most similar by cosine, and misses a few of them.

    Args:
      features: (N, d), of any floating type; memory-mapped arrays are read
        block by block, but the index holds all of them, in float32.
      count: k, neighbours of each; of N images at most N - 1.
      done: called with the number of images that were looked at.
      among: (M, d), other images, to look among; None: the images themselves,
        of which none is its own neighbour.
      fewest: among fewer images the search is exact.

    Returns:
      Neighbours of min(count, N - 1), or min(count, M), columns.
    """
    others = features if among is None else among
    if len(others) < fewest:
        return nearest_neighbours(features, count, done=done, among=among)
    count = min(count, len(others) - (among is None))
    index = _index_of(others)
    size = len(features)
    indices = np.empty((size, count), np.int32)
    cosines = np.empty((size, count), np.float32)
    # An image finds itself, too.
    wanted = count + (among is None)
    for start in range(0, size, _ROWS):
        places = np.arange(start, min(start + _ROWS, size))
        found, near = index.search(unit_rows(features[places]), wanted)
        if among is None:
            found, near = _without_own(found, near, places)
        missing = np.flatnonzero(near[:, -1] < 0)
        cosines[places], indices[places] = found, near
        for row in missing:
            _exactly(features, places[row], others, among, cosines, indices)
        stop_point()
        if done is not None:
            done(len(places))
    return Neighbours(indices, cosines)


def _index_of(features: np.ndarray):
    """faiss's index of the directions of features (N, d)."""
    import faiss

    size, width = features.shape
    cells = round(_CELLS * math.sqrt(size))
    index = faiss.IndexIVFFlat(
        faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.niter = _STEPS
    index.cp.max_points_per_centroid = _SEEN
    seen = np.random.default_rng(0).permutation(size)[: cells * _SEEN]
    index.train(unit_rows(features[np.sort(seen)]))
    for start in range(0, size, _ROWS):
        index.add(unit_rows(features[start : start + _ROWS]))
        stop_point()
    index.nprobe = _PROBED
    return index


def _without_own(
    cosines: np.ndarray, near: np.ndarray, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and neighbours (n, k) of (n, k + 1), among which each image may
    find itself."""
    own = near == places[:, np.newaxis]
    # Without itself, the last one is one too many.
    own[:, -1] |= ~own.any(axis=1)
    shape = len(near), near.shape[1] - 1
    return cosines[~own].reshape(shape), near[~own].reshape(shape)


def _exactly(
    features: np.ndarray,
    place: int,
    others: np.ndarray,
    among: np.ndarray | None,
    cosines: np.ndarray,
    indices: np.ndarray,
) -> None:
    """Fills the row of an image whose cells hold fewer than k images.

    Args:
      features: (N, d).
      place: of the image.
      others: (M, d), among which it looks.
      among: as above.
      cosines, indices: (N, k), to be filled.
    """
    count = indices.shape[1]
    near = nearest_neighbours(
        features[place : place + 1], count + (among is None), among=others
    )
    found, columns = near.cosines, near.indices
    if among is None:
        found, columns = _without_own(found, columns, np.array([place]))
    cosines[place], indices[place] = found[0], columns[0]
