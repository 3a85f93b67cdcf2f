"""K-means of features that need not fit into memory, the same every time."""

import dataclasses
import warnings
from collections.abc import Iterator

import numpy as np
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tf_simclr.labels.neighbours import unit_rows
from tf_simclr.signals import stop_point

# Up to so many images, all are clustered at once; of more, a sample, whose
# centers then move to where mini-batches of all images lie.
_WHOLE = 20_000
# Images of a sample for each cluster.
_SAMPLED = 50
_BATCH = 16_384


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Clusters of N images.

    Attributes:
      members: int32 (N,), the cluster of each image.
      distances: float32 (N,), of its unit feature from the cluster's center.
      sizes: int64 (k,).
    """

    members: np.ndarray
    distances: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)


def find_clusters(features: np.ndarray, count: int, seed: int) -> Clusters:
    """Clusters unit features by k-means (mini-batch k-means of many images).

    Args:
      features: (N, d), any floating type; may be memory-mapped.
      count: k, at most N.
      seed: of the random numbers.

    Returns:
      k clusters; copies of one image may leave some of them empty.
    """
    count = min(count, len(features))
    rng = np.random.default_rng(seed)
    state = int(rng.integers(2**31))
    # Threads would add in another order each time, and so round otherwise; of
    # copies, there are fewer clusters than asked for.
    with (
        threadpool_limits(1, user_api="openmp"),
        warnings.catch_warnings(action="ignore", category=ConvergenceWarning),
    ):
        if len(features) <= max(_WHOLE, count):
            sample = unit_rows(features)
        else:
            size = min(len(features), max(_WHOLE, _SAMPLED * count))
            places = rng.choice(len(features), size, replace=False)
            sample = unit_rows(features[np.sort(places)])
        model = KMeans(count, n_init=3, random_state=state).fit(sample)
        centers = model.cluster_centers_
        if len(sample) < len(features):
            centers = _moved(features, centers, state)
    return _assigned(features, centers)


def _moved(features: np.ndarray, centers: np.ndarray, state: int) -> np.ndarray:
    """Centers (k, d) after one pass over all images."""
    batch = max(_BATCH, len(centers))
    model = MiniBatchKMeans(
        len(centers),
        init=centers,
        n_init=1,
        batch_size=batch,
        reassignment_ratio=0,
        random_state=state,
    )
    for part in _parts(len(features), batch):
        model.partial_fit(unit_rows(features[part]))
        stop_point()
    return model.cluster_centers_


def _assigned(features: np.ndarray, centers: np.ndarray) -> Clusters:
    centers = centers.astype(np.float32)
    lengths = np.sum(centers**2, axis=1)
    members = np.empty(len(features), np.int32)
    distances = np.empty(len(features), np.float32)
    for part in _parts(len(features), _BATCH):
        rows = unit_rows(features[part])
        squares = lengths - 2 * rows @ centers.T
        nearest = squares.argmin(axis=1)
        members[part] = nearest
        least = squares[np.arange(len(rows)), nearest]
        least += np.sum(rows**2, axis=1)
        distances[part] = np.sqrt(np.maximum(least, 0))
    sizes = np.bincount(members, minlength=len(centers))
    return Clusters(members, distances, sizes)


def _parts(size: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, size)) for at in range(0, size, step))
