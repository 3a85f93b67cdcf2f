"""A picture of features: a plane in which neighbours stay neighbours."""

from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.embeddings import unit

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
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = unit(features.astype(np.float64))
    few = len(rows) < _FEWEST
    dimensions = min(2 if few else _DIMENSIONS, *rows.shape)
    reduced = PCA(dimensions, svd_solver="full").fit_transform(rows)
    if few:
        missing = max(2 - reduced.shape[1], 0)
        points = np.pad(reduced, ((0, 0), (0, missing)))
        return FeaturePlane(points, "principal components")
    tsne = TSNE(perplexity=_PERPLEXITY, init="pca", random_state=seed)
    return FeaturePlane(tsne.fit_transform(reduced).astype(float), "t-SNE")
