"""Pictures of features: a map, and TensorBoard's Embedding Projector."""

import importlib.util
import math
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_simclr.drawing import plain
from tf_simclr.errors import UserError
from tf_simclr.files import replacing, write_text

# More classes than this have no legend.
_LEGEND = 20
_METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


def check_method(method: str) -> None:
    """Refuses UMAP where its package is missing.

    Raises:
      UserError: it is not installed.
    """
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise UserError(
            "--map=umap needs a package that is not installed: pip install"
            " umap-learn, or take --map=pca or --map=tsne."
        )


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
            label=plain(class_names[label]),
        )
    if few and len(present):
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    name = _METHODS[method]
    axis.set_xlabel(f"{name} 1")
    axis.set_ylabel(f"{name} 2")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_title(plain(title))
    figure.savefig(path, dpi=110, format="png")


FOLDER = "projector"
# What the projector loads in a browser without trouble.
MAX_POINTS = 5_000
# The largest texture that browsers take, in pixels.
_SPRITE_SIDE = 8192
_THUMBNAIL = 64


def thumbnail_size(count: int, image_size: int) -> int:
    """Side of each of `count` pictures, which share one texture."""
    return min(image_size, _THUMBNAIL, _SPRITE_SIDE // _columns(count))


def thumbnails(images: tf.Tensor, side: int) -> np.ndarray:
    """Shrinks images (n, S, S, 3) in [0, 1] to uint8 (n, side, side, 3)."""
    small = tf.image.resize(images, [side, side], antialias=True)
    return tf.image.convert_image_dtype(small, tf.uint8, saturate=True).numpy()


def write_projector(
    log_dir: str,
    features: np.ndarray,
    pictures: np.ndarray,
    ids: Sequence[str],
    class_names: Sequence[str],
) -> None:
    """Writes what `tensorboard --logdir=LOG_DIR` shows in its projector.

    Args:
      log_dir: an existing folder.
      features: float32 (N, d).
      pictures: uint8 (N, side, side, 3).
      ids: of each image.
      class_names: of each image's class.
    """
    from google.protobuf import text_format
    from tensorboard.plugins.projector import ProjectorConfig

    folder = os.path.join(log_dir, FOLDER)
    os.makedirs(folder, exist_ok=True)
    with replacing(os.path.join(folder, "features.tsv")) as name:
        np.savetxt(name, features, fmt="%.6g", delimiter="\t")
    rows = [
        f"{_plain(label)}\t{_plain(name)}\n"
        for name, label in zip(ids, class_names, strict=True)
    ]
    write_text(
        os.path.join(folder, "metadata.tsv"), "".join(["class\tid\n", *rows])
    )
    with replacing(os.path.join(folder, "sprite.png")) as name:
        tf.io.write_file(name, tf.io.encode_png(sprite(pictures)))
    config = ProjectorConfig()
    embedding = config.embeddings.add()
    embedding.tensor_name = "features"
    embedding.tensor_path = f"{FOLDER}/features.tsv"
    embedding.metadata_path = f"{FOLDER}/metadata.tsv"
    embedding.sprite.image_path = f"{FOLDER}/sprite.png"
    embedding.sprite.single_image_dim.extend(pictures.shape[1:3])
    # Last: it makes the others seen.
    write_text(
        os.path.join(log_dir, "projector_config.pbtxt"),
        text_format.MessageToString(config),
    )


def sprite(pictures: np.ndarray) -> np.ndarray:
    """All pictures (N, side, side, 3) in one square, row by row."""
    count, side = pictures.shape[:2]
    columns = _columns(count)
    cells = np.zeros((columns * columns, side, side, 3), np.uint8)
    cells[:count] = pictures
    grid = cells.reshape(columns, columns, side, side, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(
        columns * side, columns * side, 3
    )


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _plain(text: str) -> str:
    """Text without the characters that end a field or a line."""
    return " ".join(text.split()) or "-"
