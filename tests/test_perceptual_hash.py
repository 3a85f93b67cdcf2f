"""Perceptual hashes: near for copies, far for other images."""

import io

import numpy as np
import pictures
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image

from tf_simclr.data.perceptual_hash import (
    LENGTH,
    MIN_SIMILARITY,
    perceptual_hashes,
)


def hash_of(image: np.ndarray) -> np.ndarray:
    return perceptual_hashes(image[np.newaxis])[0]


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(N, M) of hashes (N, 63) and (M, 63)."""
    units = [
        hashes / np.linalg.norm(hashes.astype(np.float32), axis=1)[:, None]
        for hashes in (first, second)
    ]
    return units[0] @ units[1].T


def of_others(hashes: np.ndarray) -> np.ndarray:
    """The cosine of each hash with the nearest other one."""
    found = cosines(hashes, hashes)
    found[np.diag_indices(len(found))] = -1
    return found.max(axis=1)


def tiles() -> list[np.ndarray]:
    """Neighbouring parts of two photographs."""
    return [
        image[y : y + 140, x : x + 160]
        for image in map(load_sample_image, ("china.jpg", "flower.jpg"))
        for y in range(0, 420, 140)
        for x in range(0, 640, 160)
    ]


def test_copies_are_near_and_other_images_are_far():
    rng = np.random.default_rng(0)
    parts = [tile for tile in tiles() if hash_of(tile).any()]
    hashes = np.stack(list(map(hash_of, parts)))
    assert len(hashes) > 20
    assert of_others(hashes).max() < 0.8
    changes = {
        "brighter": lambda x: x * 0.8 + 20,
        "noisy": lambda x: x + rng.normal(0, 6, x.shape),
        "smaller": lambda x: Image.fromarray(x).reduce(2),
        "JPEG": lambda x: Image.open(
            io.BytesIO(pictures.encode(x, "JPEG", quality=30))
        ),
    }
    for name, change in changes.items():
        copies = [np.clip(np.array(change(x)), 0, 255) for x in parts]
        found = np.stack([hash_of(x.astype(np.uint8)) for x in copies])
        near = cosines(found, hashes).diagonal() >= MIN_SIMILARITY
        assert near.mean() > 0.9, name


@pytest.mark.parametrize("size", [32, 64])
def test_digits_are_not_taken_for_each_other(size):
    digits = (load_digits().images * (255 / 16)).astype(np.uint8)
    images = np.stack(
        [
            Image.fromarray(digit).resize(
                (size, size), Image.Resampling.BILINEAR
            )
            for digit in digits
        ]
    )
    images = np.repeat(images[..., np.newaxis], 3, axis=-1)
    nearest = of_others(perceptual_hashes(images))
    # One pair of 1,797.
    assert np.sum(nearest >= MIN_SIMILARITY) <= 2


def test_images_that_say_nothing_have_no_hash():
    digits = np.repeat(load_digits().images[:9, ..., None], 3, axis=-1)
    assert not perceptual_hashes((digits * 15).astype(np.uint8)).any()
    flat = np.full([2, 40, 50, 3], 200, np.uint8)
    flat[1] += np.random.default_rng(0).integers(0, 3, flat[1].shape, np.uint8)
    assert not perceptual_hashes(flat).any()


def test_one_by_one_or_all_at_once():
    images = np.stack([pictures.tile(i, 40) for i in range(5)])
    hashes = perceptual_hashes(images)
    assert hashes.shape == (5, LENGTH)
    assert hashes.dtype == np.int8
    assert set(np.abs(hashes).max(axis=1).tolist()) == {127}
    assert all(map(np.array_equal, hashes, map(hash_of, images)))
    # The size does not matter.
    large = images.repeat(7, axis=1).repeat(5, axis=2)
    found = cosines(perceptual_hashes(large), hashes)
    assert found.diagonal().min() > MIN_SIMILARITY
