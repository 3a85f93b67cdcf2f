"""Perceptual hashes: numbers of an image that small changes hardly move.

The lowest 8 x 8 frequencies of a discrete cosine transform, as in C. Zauner,
"Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
section 3.2.1, but with their sizes: their signs alone take one handwritten
digit for another, and noise decides those of smooth images. Each counts in
proportion to its frequency, since those of photographs fall off with it.
"""

import numpy as np

from tf_simclr.process import cached

# The cosine of two hashes from which one image counts as a copy of the other.
# One pair of scikit-learn's 1,797 digits reaches it, drawn at 64 pixels a side;
# of 296 neighbouring tiles of six photographs, none comes above 0.87.
MIN_SIMILARITY = 0.986
# Images below it have no hash: 8 x 8 pixels are no more than the digit.
MIN_SIDE = 32
# Means of the image per side, and frequencies of them that are kept.
_SIDE, _KEPT = 32, 8
# Numbers of a hash: all but the mean of the image.
LENGTH = _KEPT**2 - 1
# Rows and columns of a larger image that are looked at: four per mean.
_SAMPLED = 4 * _SIDE
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Gray levels. Noise decides what is left of an image that varies less.
_FLAT = 2.0
# Images in memory that are hashed at a time.
_CHUNK = 256


def perceptual_hashes(images: np.ndarray) -> np.ndarray:
    """Hashes images of one size.

    Args:
      images: uint8 (N, height, width, 3).

    Returns:
      int8 (N, 63), the largest number of each is 127 or -127; zeros for images
      without a hash: those below 32 pixels a side and those of one color.
    """
    hashes = np.zeros((len(images), LENGTH), np.int8)
    if min(images.shape[1:3]) >= MIN_SIDE:
        for start in range(0, len(images), _CHUNK):
            part = slice(start, start + _CHUNK)
            hashes[part] = _hashes(images[part])
    return hashes


def _hashes(images: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        size = images.shape[axis]
        if size > _SAMPLED:
            images = images.take(_samples(size), axis)
    gray = images.astype(np.float32) @ _LUMA
    down, across = (_basis(size) for size in gray.shape[1:])
    waves = (down @ gray @ across.T) * _weights()
    waves = waves.reshape(len(waves), -1)[:, 1:]
    largest = np.abs(waves).max(axis=1, keepdims=True)
    found = np.rint(waves * (127 / np.maximum(largest, 1e-6)))
    return np.where(gray.std(axis=(1, 2)) < _FLAT, 0, found.T).T


def _samples(size: int) -> np.ndarray:
    """Positions (128,), evenly from `size`."""
    return (np.arange(_SAMPLED) * size + size // 2) // _SAMPLED


@cached(maxsize=256)
def _basis(size: int) -> np.ndarray:
    """float32 (8, size): a line of pixels to the frequencies of its means."""
    means, count = np.arange(_SIDE), min(size, _SAMPLED)
    angles = np.pi * np.outer(np.arange(_KEPT), 2 * means + 1) / (2 * _SIDE)
    basis = np.cos(angles)
    basis[0] /= np.sqrt(2)
    # Of a smaller image, pixels count in several samples.
    sampled = _samples(size) if size < _SAMPLED else np.arange(_SAMPLED)
    weights = np.zeros((_SIDE, count))
    np.add.at(weights, (np.repeat(means, _SAMPLED // _SIDE), sampled), 1)
    return (basis @ weights).astype(np.float32)


@cached(maxsize=1)
def _weights() -> np.ndarray:
    """float32 (8, 8): the length of each frequency."""
    along = np.arange(_KEPT, dtype=np.float32)
    return np.hypot(along[:, np.newaxis], along)
