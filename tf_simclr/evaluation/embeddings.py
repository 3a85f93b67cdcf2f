"""Whether embeddings are spread out; features in a plane."""

from typing import NamedTuple

import numpy as np

_EPSILON = 1e-12
# Below either of these a network gives (nearly) the same answer to everything.
COLLAPSED_STD = 0.1
COLLAPSED_RANK = 2.0
# Where so few dimensions are possible, a low rank is no sign.
_FEW_DIMENSIONS = 4


class Spread(NamedTuple):
    """How much of the embedding space is used.

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
        """Whether the embeddings are as good as constant."""
        low_rank = self.effective_rank < COLLAPSED_RANK
        return self.std < COLLAPSED_STD or (
            low_rank and self.possible_rank >= _FEW_DIMENSIONS
        )


class Similarities(NamedTuple):
    """Cosines between views.

    Attributes:
      positive: (N,), of the two views of each image.
      negative: (N (N - 1),), of first views and other images' second views.
    """

    positive: np.ndarray
    negative: np.ndarray


def unit(embeddings: np.ndarray) -> np.ndarray:
    """Rows of length 1; zero rows stay zero."""
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


def similarities(first: np.ndarray, second: np.ndarray) -> Similarities:
    """Cosines of two views' embeddings, (N, d) each."""
    cosines = unit(first) @ unit(second).T
    others = ~np.eye(len(cosines), dtype=bool)
    return Similarities(np.diag(cosines).copy(), cosines[others])


# t-SNE's usual number of neighbours; with less than a few times as many
# images it has nothing to say.
_PERPLEXITY = 30
_FEWEST = 100
# More dimensions only add noise and time (van der Maaten and Hinton, 2008).
_DIMENSIONS = 30


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
    centred = rows - rows.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2]
    if len(rows) < _FEWEST:
        points = centred @ axes[:2].T
        missing = 2 - points.shape[1]
        points = np.pad(points, ((0, 0), (0, missing)))
        return FeaturePlane(points, "principal components")
    from sklearn.manifold import TSNE

    tsne = TSNE(perplexity=_PERPLEXITY, init="pca", random_state=seed)
    points = tsne.fit_transform(centred @ axes[:_DIMENSIONS].T)
    return FeaturePlane(points.astype(float), "t-SNE")
