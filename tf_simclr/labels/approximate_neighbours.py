"""Nearest neighbours of features by cells, for a million images.

As in faiss's inverted file (Douze et al., "The Faiss library", 2024, arXiv
2401.08281), each image is compared with the images of those cells that are
nearest to it. Here all images that look into a cell do so at once, as one
product of matrices, and the number of cells grows with the number of images, so
that the time grows as N log N.
"""

import importlib.util
from collections.abc import Callable

import numpy as np

from tf_simclr.errors import UserError
from tf_simclr.labels.neighbours import (
    Neighbours,
    nearest_neighbours,
    unit_rows,
)
from tf_simclr.signals import stop_point

# Of 256 images, so many are seen by k-means; a cell has at most `_CELL` of
# those that are seen: up to 512 images, 200 as a rule.
_SEEN, _CELL = 39, 2 * 39
# Cells that an image is compared with: more find more of the true neighbours,
# in more time (benchmarks/speed/neighbour_search.py).
_PROBED = 16
# Links of each cell to similar ones, and cells that a search for the nearest
# keeps in mind (hierarchical navigable small worlds: Malkov and Yashunin,
# arXiv 1603.09320).
_LINKS, _KEPT = 32, 64
# Images that are looked for at a time: enough for products of some size.
_ROWS = 131_072
# Fewer are compared with each other sooner than cells are made.
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
        block by block, but the cells hold all of them, in float32.
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
    cells = _Cells(others)
    size = len(features)
    indices = np.empty((size, count), np.int32)
    cosines = np.empty((size, count), np.float32)
    # An image finds itself, too.
    wanted = count + (among is None)
    for start in range(0, size, _ROWS):
        places = np.arange(start, min(start + _ROWS, size))
        found, near = cells.search(unit_rows(features[places]), wanted)
        if among is None:
            found, near = _without_own(found, near, places)
        missing = np.flatnonzero(near[:, -1] < 0)
        cosines[places], indices[places] = found, near
        for row in missing:
            _exactly(features, places[row], others, among, cosines, indices)
        if done is not None:
            done(len(places))
    return Neighbours(indices, cosines)


class _Cells:
    """The directions of features, ordered by cell.

    Args:
      features: (N, d), of any floating type.
    """

    def __init__(self, features: np.ndarray):
        import faiss

        from tf_simclr.labels.cells import centroids

        size, width = features.shape
        seen = np.random.default_rng(0).permutation(size)
        seen = np.sort(seen[: max(size * _SEEN // 256, _CELL)])
        self._nearest = faiss.IndexHNSWFlat(
            width, _LINKS, faiss.METRIC_INNER_PRODUCT
        )
        self._nearest.hnsw.efSearch = _KEPT
        means = centroids(unit_rows(features[seen]), _CELL)
        _add_in_order(self._nearest, means)
        cells = np.empty(size, np.int64)
        for start in range(0, size, _ROWS):
            rows = unit_rows(features[start : start + _ROWS])
            _, nearest = self._nearest.search(rows, 1)
            cells[start : start + _ROWS] = nearest[:, 0]
            stop_point()
        self._order = np.argsort(cells, kind="stable")
        self._ends = np.cumsum(np.bincount(cells, minlength=self.count))
        self._rows = np.empty((size, width), np.float32)
        for start in range(0, size, _ROWS):
            places = self._order[start : start + _ROWS]
            self._rows[start : start + _ROWS] = unit_rows(features[places])
            stop_point()

    @property
    def count(self) -> int:
        """Number of cells."""
        return self._nearest.ntotal

    def search(
        self, rows: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Looks for the nearest of `_PROBED` cells.

        Args:
          rows: float32 (n, d), of length 1.
          count: k.

        Returns:
          Cosines float32 (n, k), falling, and images int64 (n, k), -1 where
          these cells have fewer than k.
        """
        import faiss

        best = faiss.ResultHeap(len(rows), count, keep_max=True)
        _, probed = self._nearest.search(rows, min(_PROBED, self.count))
        order = np.argsort(probed, axis=None, kind="stable")
        looking = order // probed.shape[1]
        starts = np.searchsorted(
            probed.ravel()[order], np.arange(self.count + 1)
        )
        for cell, end in enumerate(self._ends):
            first = self._ends[cell - 1] if cell else 0
            places = looking[starts[cell] : starts[cell + 1]]
            if len(places) and first < end:
                cosines, near = faiss.knn(
                    rows[places],
                    self._rows[first:end],
                    min(count, int(end - first)),
                    metric=faiss.METRIC_INNER_PRODUCT,
                )
                best.add_result_subset(
                    places, cosines, self._order[first:end][near]
                )
            stop_point()
        best.finalize()
        return best.D, best.I


def _add_in_order(index, rows: np.ndarray) -> None:
    """Adds rows to an index of faiss one after another: links that several
    threads make at once differ from run to run."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        index.add(rows)
    finally:
        faiss.omp_set_num_threads(threads)


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
