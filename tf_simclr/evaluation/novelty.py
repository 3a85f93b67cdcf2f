"""Novelty: the distance of an image from its network's training images.

It is that to the nearest training image among normalised features, of which a
sample is kept: Sun et al., Out-of-distribution detection with deep nearest
neighbors (ICML 2022, arXiv 2204.06507), with one neighbour.
"""

import dataclasses
import os
from zipfile import BadZipFile

import numpy as np
import tensorflow as tf

from tf_simclr.files import write_npz
from tf_simclr.progress import say

NOVELTY_FILE = "novelty.npz"
# Training images that are kept, and others that tell which distances are usual.
KEPT, USUAL = 500, 500
# Quantiles of these distances that are kept.
_QUANTILES = 101
# So few images tell no quantiles: then training images do, each without itself.
_LEAST = 20
_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class Novelty:
    """Measures the novelty of images.

    Attributes:
      features: float16 (M, d), of training images, of length 1.
      quantiles: float32 (Q,), rising: of the distances of images like those of
        the training, that were not in it.
    """

    features: np.ndarray
    quantiles: np.ndarray

    def distances(self, features: tf.Tensor) -> tf.Tensor:
        """1 - the highest cosine similarity to a training image, float32 (N,)
        in [0, 2], of features (N, d)."""
        known = tf.cast(tf.constant(self.features), tf.float32)
        return 1 - tf.reduce_max(_similarities(features, known), axis=1)

    def ranks(self, distances: tf.Tensor) -> tf.Tensor:
        """The share of usual images that are nearer, in [0, 1].

        Args:
          distances: float32 (N,).

        Returns:
          float32 (N,), linear between the quantiles that are kept.
        """
        steps = tf.constant(self.quantiles)
        last = len(self.quantiles) - 1
        upper = tf.searchsorted(steps, distances, side="left")
        upper = tf.clip_by_value(upper, 1, last)
        low, high = tf.gather(steps, upper - 1), tf.gather(steps, upper)
        part = (distances - low) / tf.maximum(high - low, _TINY)
        part = tf.clip_by_value(part, 0.0, 1.0)
        return (tf.cast(upper - 1, tf.float32) + part) / last

    def write(self, folder: str, step: int) -> None:
        """Writes `novelty.npz` for the weights of a step."""
        arrays = {**vars(self), "step": np.int64(step)}
        write_npz(os.path.join(folder, NOVELTY_FILE), arrays)


def novelty_of(known: np.ndarray, usual: np.ndarray) -> Novelty:
    """Measures novelty by features of training images and of others like them.

    Args:
      known: float32 (M, d), M > 1.
      usual: float32 (R, d), of images that were not in the training; where
        there are hardly any, training images stand for them, each without
        itself.
    """
    lengths = np.linalg.norm(known, axis=1, keepdims=True)
    features = (known / np.maximum(lengths, _TINY)).astype(np.float16)
    stored = tf.cast(tf.constant(features), tf.float32)
    if len(usual) < _LEAST:
        similar = _similarities(stored, stored).numpy()
        np.fill_diagonal(similar, -1.0)
    else:
        similar = _similarities(tf.constant(usual), stored).numpy()
    distances = 1 - similar.max(axis=1)
    grid = np.linspace(0, 1, _QUANTILES)
    return Novelty(features, np.quantile(distances, grid).astype(np.float32))


def read_novelty(folder: str, step: int) -> Novelty | None:
    """Reads the file of `Novelty.write` for the weights of a step; None,
    with a notice, where it is missing, damaged or of other weights."""
    path = os.path.join(folder, NOVELTY_FILE)
    if not os.path.exists(path):
        return None
    try:
        # Of a damaged archive, np.load would leave the file open.
        with open(path, "rb") as file, np.load(file) as found:
            if int(found["step"]) != step:
                return None
            return Novelty(found["features"], found["quantiles"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        say(f"{path} cannot be read, so that novelty is left out: {error}")
        return None


def _similarities(features: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Cosines (N, M); `known` (M, d) has length 1 already."""
    normalised = tf.math.l2_normalize(features, axis=1)
    return tf.matmul(normalised, known, transpose_b=True)
