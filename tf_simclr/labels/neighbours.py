"""Exact nearest neighbours of features, by blocked matrix products."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_simclr.evaluation.embeddings import unit
from tf_simclr.signals import stop_point

# Rows that are looked for, and columns among which, at a time: a product of
# 128 MiB, whatever the number of images.
_ROWS, _COLUMNS = 2048, 16384


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """The nearest neighbours of each of N images, nearest first.

    Attributes:
      indices: int32 (N, k); an image is not its own neighbour.
      cosines: float32 (N, k).
    """

    indices: np.ndarray
    cosines: np.ndarray


def nearest_neighbours(
    features: np.ndarray,
    count: int,
    blocks: tuple[int, int] = (_ROWS, _COLUMNS),
    done: Callable[[int], None] | None = None,
    among: np.ndarray | None = None,
) -> Neighbours:
    """Finds the most similar images of each image by cosine.

    Exact: N^2 d multiplications, on the device. Of equal cosines the smaller
    index comes first.

    Args:
      features: (N, d), of any floating type; memory-mapped arrays are read
        block by block.
      count: k, neighbours of each; of N images at most N - 1.
      blocks: rows and columns that are multiplied at a time.
      done: called with the number of images that were looked at.
      among: (M, d), other images, to look among; None: the images themselves,
        of which none is its own neighbour.

    Returns:
      Neighbours of min(count, N - 1), or min(count, M), columns.
    """
    size = len(features)
    others = features if among is None else among
    count = min(count, len(others) - (among is None))
    rows, columns = min(blocks[0], size), min(blocks[1], len(others))
    indices = np.empty((size, count), np.int32)
    cosines = np.empty((size, count), np.float32)
    if count < 1:
        return Neighbours(indices, cosines)
    for first in range(0, size, rows):
        # Blocks have one shape: the last one begins earlier.
        start = min(first, size - rows)
        queries = tf.constant(unit_rows(features[start : start + rows]))
        found = (
            tf.fill((rows, count), -np.inf),
            tf.zeros((rows, count), tf.int32),
        )
        for at in range(0, len(others), columns):
            begin = min(at, len(others) - columns)
            block = unit_rows(others[begin : begin + columns])
            products = tf.matmul(queries, block, transpose_b=True)
            own = start - begin
            if among is None and -rows < own < columns:
                products = _without_own(products, own)
            if at > begin:
                products = _without_first(products, at - begin)
            found = _merged(products, begin, *found)
        stop_point()
        cosines[start : start + rows] = found[0]
        indices[start : start + rows] = found[1]
        if done is not None:
            done(min(rows, size - first))
    return Neighbours(indices, cosines)


def unit_rows(features: np.ndarray) -> np.ndarray:
    """float32 (n, d) rows of length 1; zero rows stay zero."""
    return unit(np.asarray(features, np.float32))


def _without_own(products: tf.Tensor, own: int) -> tf.Tensor:
    """The cosines (rows, columns) without those of an image with itself, of
    which the first row's is in column `own`."""
    rows, columns = products.shape
    places = (own + tf.range(rows))[:, tf.newaxis]
    return tf.where(places == tf.range(columns), -np.inf, products)


def _without_first(products: tf.Tensor, number: int) -> tf.Tensor:
    """The cosines (rows, columns) without those of the first columns."""
    return tf.where(tf.range(products.shape[1]) < number, -np.inf, products)


def _merged(
    products: tf.Tensor, begin: int, cosines: tf.Tensor, indices: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Merges one block of columns into what was found before.

    Called for blocks of many shapes: to trace them would take longer.

    Args:
      products: float32 (rows, columns), their cosines.
      begin: the place of the first column.
      cosines, indices: (rows, k), found so far.
    """
    columns = products.shape[1]
    best, found = tf.math.top_k(products, min(cosines.shape[1], columns))
    together = tf.concat([cosines, best], axis=1)
    places = tf.concat([indices, begin + found], axis=1)
    cosines, order = tf.math.top_k(together, cosines.shape[1])
    return cosines, tf.gather(places, order, batch_dims=1)
