"""Choosing images to label next: one function for each way."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from tf_simclr.errors import UserError
from tf_simclr.labels.clusters import Clusters, find_clusters
from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.neighbours import (
    Neighbours,
    nearest_neighbours,
    unit_rows,
)
from tf_simclr.labels.spreading import spread_labels

# Neighbours whose mean distance tells how typical an image is (Hacohen et al.,
# ICML 2022, arXiv 2202.02794, section 3.2); clusters that are too small to have
# a typical image, and the most clusters, as there.
_TYPICAL, _SMALLEST, _MOST_CLUSTERS = 20, 5, 500
# Members of a cluster that are compared with each other: of more, a sample of
# the nearest to its center.
_COMPARED = 8192
# Methods that compare all images with each other look at a sample of more.
_SAMPLED = 50_000
# Neighbours that a ball may cover, and the share of balls that hold
# one class alone (Yehuda et al., NeurIPS 2022, arXiv 2205.11320, section 3.3).
_COVERED, _PURE = 100, 0.95


@dataclasses.dataclass(frozen=True)
class Pool:
    """Images to choose from.

    Attributes:
      features: (N, d), any floating type; may be memory-mapped.
      places: int (n,) of the images that have a label.
      labels: int (n,), their classes.
      class_names: C names.
      excluded: int places that must not be chosen, beside those.
    """

    features: np.ndarray
    places: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    excluded: np.ndarray = dataclasses.field(
        default_factory=lambda: np.array([], np.int64)
    )

    def __len__(self) -> int:
        return len(self.features)

    def free(self) -> np.ndarray:
        """bool (N,): the images that may be chosen."""
        free = np.ones(len(self), bool)
        free[self.places] = free[self.excluded] = False
        return free


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """One image to label.

    Attributes:
      place: in the pool.
      cluster: number of the group it was chosen from; -1 for none.
      reason: for a person.
    """

    place: int
    cluster: int
    reason: str


Choice = Callable[[Pool, int, int], list[Suggestion]]


def suggest_images(
    method: str, pool: Pool, budget: int, seed: int
) -> list[Suggestion]:
    """Chooses images to label, the same ones for the same arguments.

    Args:
      method: a key of `CHOICES`.
      pool: the images.
      budget: how many to choose.
      seed: of the random numbers.

    Returns:
      `budget` suggestions, by cluster; fewer of a smaller pool.

    Raises:
      UserError: the method needs labels, and there are none.
    """
    budget = min(budget, int(pool.free().sum()))
    if not budget:
        return []
    found = CHOICES[method](pool, budget, seed)
    return sorted(found, key=lambda each: each.cluster)


def typiclust(pool: Pool, budget: int, seed: int) -> list[Suggestion]:
    """The most typical image of each cluster, large ones without a label first.

    Hacohen, Dekel and Weinshall, "Active Learning on a Budget" (ICML 2022),
    algorithm 1: as many clusters as there will be labels; an image is the more
    typical, the nearer its 20 nearest neighbours within the cluster are.
    """
    clusters = _clusters(pool, budget, seed)

    def order(members: np.ndarray) -> np.ndarray:
        return members[np.argsort(-_typicality(pool, members), kind="stable")]

    return _by_cluster(
        pool, clusters, budget, order, "most typical of {} similar images"
    )


def kmeans(pool: Pool, budget: int, seed: int) -> list[Suggestion]:
    """The image nearest to the center of each cluster."""
    clusters = _clusters(pool, budget, seed)

    def order(members: np.ndarray) -> np.ndarray:
        distances = clusters.distances[members]
        return members[np.argsort(distances, kind="stable")]

    return _by_cluster(
        pool, clusters, budget, order, "in the middle of {} similar images"
    )


def probcover(pool: Pool, budget: int, seed: int) -> list[Suggestion]:
    """The image that covers most others that are not covered yet, in turn.

    Yehuda et al., "Active Learning Through a Covering Lens" (NeurIPS 2022),
    algorithm 1. An image covers those within a radius, the largest one at
    which 95 % of such balls hold images of one k-means cluster alone.
    """
    sample = _sample(pool, seed)
    features = pool.features[sample]
    near = nearest_neighbours(features, min(_COVERED, len(sample) - 1))
    number = min(budget + len(pool.places), _MOST_CLUSTERS)
    clusters = find_clusters(features, number, seed)
    within = near.cosines >= _radius(near, clusters)
    rows, columns = np.nonzero(within)
    covers = sparse.csr_array(
        (np.ones(len(rows)), (rows, near.indices[rows, columns])),
        shape=(len(sample),) * 2,
    )
    covers = ((covers + covers.T) > 0).astype(np.int64) + sparse.eye_array(
        len(sample), dtype=np.int64
    )
    covers = covers.tocsr()
    uncovered = np.ones(len(sample), np.int64)
    free = pool.free()[sample]
    known = np.flatnonzero(np.isin(sample, pool.places))
    uncovered[np.unique(covers[known].indices)] = 0
    found = []
    for _ in range(min(budget, int(free.sum()))):
        gains = np.where(free, covers @ uncovered, -1)
        best = int(gains.argmax())
        found.append(
            Suggestion(
                int(sample[best]),
                len(found),
                f"looks like {max(int(gains[best]) - 1, 0)} other images",
            )
        )
        free[best] = False
        uncovered[covers[[best]].indices] = 0
    return found


def uncertain(pool: Pool, budget: int, seed: int) -> list[Suggestion]:
    """Images whose two likeliest classes are nearly alike.

    By the labels that exist, spread along the graph of neighbours.

    Raises:
      UserError: they are of fewer than two classes.
    """
    if len(np.unique(pool.labels)) < 2:
        raise UserError(
            "--suggest=uncertain needs labels of at least two classes: label"
            " some images first, those of --suggest=typiclust."
        )
    sample = np.union1d(_sample(pool, seed), pool.places)
    graph = neighbour_graph(
        nearest_neighbours(pool.features[sample], NEIGHBOURS)
    )
    places = np.searchsorted(sample, pool.places)
    number = len(pool.class_names)
    found = spread_labels(graph, places, pool.labels, number)
    order = np.argsort(-found, axis=1, kind="stable")[:, :2]
    first, second = np.take_along_axis(found, order, axis=1).T
    free = pool.free()[sample]
    margin = np.where(free, first - second, np.inf)
    suggestions = []
    for row in np.argsort(margin, kind="stable")[: min(budget, free.sum())]:
        one, two = (pool.class_names[label] for label in order[row])
        suggestions.append(
            Suggestion(
                int(sample[row]),
                -1,
                f"{one} ({first[row]:.2f}) or {two} ({second[row]:.2f})",
            )
        )
    return suggestions


def at_random(pool: Pool, budget: int, seed: int) -> list[Suggestion]:
    """Any images, as a person would draw them."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(np.flatnonzero(pool.free()))[:budget]
    return [Suggestion(int(place), -1, "drawn at random") for place in chosen]


# Name of --suggest -> how it chooses.
CHOICES: dict[str, Choice] = {
    "typiclust": typiclust,
    "kmeans": kmeans,
    "probcover": probcover,
    "uncertain": uncertain,
    "random": at_random,
}


def _clusters(pool: Pool, budget: int, seed: int) -> Clusters:
    number = min(budget + len(pool.places), _MOST_CLUSTERS)
    return find_clusters(pool.features, number, seed)


def _by_cluster(
    pool: Pool,
    clusters: Clusters,
    budget: int,
    order: Callable[[np.ndarray], np.ndarray],
    reason: str,
) -> list[Suggestion]:
    """Chooses from one cluster after another, those with the fewest labels
    first, and the largest among these."""
    labelled = np.bincount(
        clusters.members[pool.places], minlength=len(clusters)
    )
    free = np.flatnonzero(pool.free())
    members = clusters.members[free]
    left = np.bincount(members, minlength=len(clusters))
    by_cluster = np.split(
        free[np.argsort(members, kind="stable")], np.cumsum(left)[:-1]
    )
    small = clusters.sizes < _SMALLEST
    queues: dict[int, Iterator[int]] = {}
    found: list[Suggestion] = []
    while len(found) < budget:
        # Small ones come last, whatever they have; then those without a rest.
        ranks = np.lexsort((-clusters.sizes, labelled, small, left == 0))
        count = min(budget - len(found), np.count_nonzero(left))
        for number in ranks[:count].tolist():
            if number not in queues:
                queues[number] = iter(order(by_cluster[number]).tolist())
            place = next(queues[number])
            labelled[number] += 1
            left[number] -= 1
            text = reason.format(f"{int(clusters.sizes[number]):,}")
            found.append(Suggestion(place, number, text))
    return found


def _typicality(pool: Pool, members: np.ndarray) -> np.ndarray:
    """float32 (n,): the inverse mean distance to the 20 nearest members."""
    if len(members) < 3:
        return np.zeros(len(members), np.float32)
    found = np.full(len(members), -1, np.float32)
    features = unit_rows(pool.features[members])
    compared = np.arange(len(members))
    if len(members) > _COMPARED:
        cosines = features @ features.mean(axis=0)
        compared = np.argsort(-cosines, kind="stable")[:_COMPARED]
    near = nearest_neighbours(
        features[compared], min(_TYPICAL, len(compared) - 1)
    )
    distances = np.sqrt(np.maximum(2 - 2 * near.cosines, 0)).mean(axis=1)
    found[compared] = 1 / np.maximum(distances, 1e-6)
    return found


def _sample(pool: Pool, seed: int) -> np.ndarray:
    """int64, ascending: all places, or as many as are compared."""
    if len(pool) <= _SAMPLED:
        return np.arange(len(pool))
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(len(pool), _SAMPLED, replace=False))


def _radius(near: Neighbours, clusters: Clusters) -> float:
    """The least cosine at which 95 % of balls hold one cluster alone."""
    other = clusters.members[near.indices] != clusters.members[:, np.newaxis]
    # The nearest image of another cluster bounds a pure ball.
    nearest = np.where(other, near.cosines, -1.0).max(axis=1)
    return float(np.quantile(nearest, _PURE)) + 1e-6
