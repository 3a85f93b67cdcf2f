"""Spread of embeddings, and maps of features to the plane."""

from typing import NamedTuple

import numpy as np

_EPSILON = 1e-12
# Below either of these a network gives (nearly) the same answer to everything.
COLLAPSED_STD = 0.1
COLLAPSED_RANK = 2.0
# Where so few dimensions are possible, a low rank is no sign.
_FEW_DIMENSIONS = 4


class Spread(NamedTuple):
    """Measures of the part of the embedding space that is used.

    Attributes:
      std: standard deviation of the unit embeddings over the images, mean over
        the dimensions, times sqrt(d): 1 if they cover the sphere evenly, 0 if
        they are all the same.
      effective_rank: exp of the entropy of the normalised singular values of
        the centred embeddings (Roy and Vetterli, 2007): from 1, all on a
        line, to `possible_rank`.
      possible_rank: min(N - 1, d).
    """

    std: float
    effective_rank: float
    possible_rank: int

    @property
    def collapsed(self) -> bool:
        """True if the embeddings are nearly constant."""
        low_rank = self.effective_rank < COLLAPSED_RANK
        return self.std < COLLAPSED_STD or (
            low_rank and self.possible_rank >= _FEW_DIMENSIONS
        )


class Similarities(NamedTuple):
    """Cosines between views.

    Attributes:
      positive: (N,), of the two views of each image.
      negative: (at most N (N - 1),), of first views and other images' second
        views.
    """

    positive: np.ndarray
    negative: np.ndarray


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Rows (N, d) of length 1; zero rows stay zero."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings / np.maximum(norms, _EPSILON)


def spread(embeddings: np.ndarray) -> Spread:
    """Standard deviation and effective rank of embeddings (N, d)."""
    rows = unit(embeddings.astype(np.float64))
    centred = rows - rows.mean(axis=0)
    std = np.sqrt(np.mean(centred**2, axis=0)).mean() * np.sqrt(rows.shape[1])
    values = np.linalg.svd(centred, compute_uv=False)
    shares = values / max(values.sum(), _EPSILON)
    shares = shares[shares > _EPSILON]
    rank = np.exp(-np.sum(shares * np.log(shares))) if len(shares) else 0.0
    possible = min(len(rows) - 1, rows.shape[1])
    return Spread(float(std), float(rank), possible)


def similarities(
    first: np.ndarray, second: np.ndarray, ids: np.ndarray | None = None
) -> Similarities:
    """Cosines of two views' embeddings, (N, d) each.

    Args:
      first, second: the embeddings.
      ids: (N,) or (N, k), equal for equal images; None: all are different.
    """
    cosines = unit(first) @ unit(second).T
    others = ~np.eye(len(cosines), dtype=bool)
    if ids is not None:
        rows = ids.reshape(len(ids), -1)
        others = np.any(rows[:, np.newaxis] != rows, axis=2)
    return Similarities(np.diag(cosines).copy(), cosines[others])


# Points fewer than these span no plane.
MIN_POINTS = 3
# t-SNE's usual number of neighbours; with less than a few times as many
# images it has nothing to say.
_PERPLEXITY = 30.0
_FEWEST = 100
# More dimensions only add noise and time (van der Maaten and Hinton, 2008).
_DIMENSIONS = 30


def two_dimensions(
    features: np.ndarray, method: str, seed: int = 0
) -> np.ndarray:
    """Maps features (N, d) to points (N, 2).

    Args:
      features: of at least `MIN_POINTS` images for `tsne` and `umap`.
      method: `pca`, `tsne` or `umap`.
      seed: of the random numbers.
    """
    if method == "pca":
        from sklearn.decomposition import PCA

        if len(features) < 2:
            return np.zeros((len(features), 2))
        possible = min(2, *features.shape)
        points = PCA(possible, random_state=seed).fit_transform(features)
        return np.pad(points, ((0, 0), (0, 2 - possible)))
    if method == "tsne":
        from sklearn.manifold import TSNE

        perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
        return TSNE(
            2, perplexity=perplexity, init="pca", random_state=seed
        ).fit_transform(features)
    import umap

    neighbours = min(15, len(features) - 1)
    # A seed makes it use one thread, which it warns of unless told so.
    return umap.UMAP(
        n_neighbors=neighbours, random_state=seed, n_jobs=1
    ).fit_transform(features)


class FeaturePlane(NamedTuple):
    """Points in the plane.

    Attributes:
      points: float (N, 2).
      method: how they were found.
    """

    points: np.ndarray
    method: str


def feature_plane(features: np.ndarray, seed: int = 0) -> FeaturePlane:
    """Maps features (N, d) to the plane by their direction.

    t-SNE from 100 images on, the first two principal components below.
    """
    rows = unit(features.astype(np.float64))
    if len(rows) < _FEWEST:
        points = two_dimensions(rows, "pca", seed)
        return FeaturePlane(points, "principal components")
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    points = two_dimensions(centred @ axes[:_DIMENSIONS].T, "tsne", seed)
    return FeaturePlane(points.astype(float), "t-SNE")
