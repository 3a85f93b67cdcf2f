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
