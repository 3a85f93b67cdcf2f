"""Features in two dimensions."""

import importlib.util
from collections.abc import Sequence

import numpy as np

from tf_simclr.errors import UserError

# Points fewer than these span no plane.
MIN_POINTS = 3
_PERPLEXITY = 30.0
# More classes than this have no legend.
_LEGEND = 20
_METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def check_method(method: str) -> None:
    """Refuses UMAP where its package is missing."""
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise UserError(
            "--map=umap needs a package that is not installed: pip install"
            " umap-learn, or take --map=pca or --map=tsne."
        )


def two_dimensions(
    features: np.ndarray, method: str, seed: int = 0
) -> np.ndarray:
    """Maps features (N, d) to points (N, 2).

    Args:
      features: of at least `MIN_POINTS` images.
      method: `pca`, `tsne` or `umap`.
      seed: of the last two.
    """
    if method == "pca":
        from sklearn.decomposition import PCA

        return PCA(2, random_state=seed).fit_transform(features)
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


def draw_map(
    path: str,
    points: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    title: str,
    method: str,
) -> None:
    """Draws points in the colors of their classes.

    Args:
      path: of the PNG file.
      points: (N, 2).
      labels: (N,), -1 where unknown.
      class_names: one per class.
      title: above the map.
      method: which made the points.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axis = figure.subplots()
    size = float(np.clip(20_000 / len(points), 4, 40))
    unknown = labels < 0
    if np.any(unknown):
        axis.scatter(
            *points[unknown].T, s=size, color="lightgray", label="no label"
        )
    present = np.unique(labels[~unknown])
    few = len(present) <= _LEGEND
    palette = colormaps["tab10" if len(present) <= 10 else "tab20"]
    for index, label in enumerate(present):
        color = (
            palette(index) if few else colormaps["hsv"](index / len(present))
        )
        axis.scatter(
            *points[labels == label].T,
            s=size,
            color=color,
            alpha=0.8,
            linewidths=0,
            label=class_names[label],
        )
    if few and len(present):
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    name = _METHODS[method]
    axis.set_xlabel(f"{name} 1")
    axis.set_ylabel(f"{name} 2")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(title)
    figure.savefig(path, dpi=110, format="png")
