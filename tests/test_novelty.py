"""Novelty: closed forms, and files."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.evaluation.novelty import Novelty, novelty_of, read_novelty


def directions(*degrees: float) -> np.ndarray:
    """Vectors (N, 2) of these directions, of several lengths."""
    angles = np.radians(degrees)
    lengths = 1 + np.arange(len(degrees), dtype=np.float32)[:, np.newaxis]
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (rows * lengths).astype(np.float32)


def test_the_distance_is_that_of_the_nearest_direction():
    known = directions(0, 90)
    novelty = novelty_of(known, directions(*range(0, 90, 4)))
    found = novelty.distances(tf.constant(directions(60, 45, 180, 225)))
    cosines = np.cos(np.radians([30, 45, 90, 135]))
    np.testing.assert_allclose(found, 1 - cosines, atol=1e-3)


def test_ranks_are_shares_of_usual_distances():
    quantiles = np.float32([0, 0.1, 0.1, 0.4, 0.8])
    novelty = Novelty(np.zeros([1, 2], np.float16), quantiles)
    distances = np.float32([-1, 0, 0.05, 0.25, 0.4, 0.79, 0.8, 2])
    grid = np.linspace(0, 1, 5)
    np.testing.assert_allclose(
        novelty.ranks(tf.constant(distances)),
        np.interp(distances, quantiles, grid),
        atol=1e-5,
    )
    assert novelty.ranks(tf.zeros([0])).shape == (0,)


def test_usual_images_have_usual_ranks():
    random = np.random.default_rng(0)
    known, usual, others = random.normal(size=(3, 400, 8)).astype(np.float32)
    novelty = novelty_of(known + 2, usual + 2)
    ranks = novelty.ranks(novelty.distances(tf.constant(others + 2)))
    # Uniform, as of the same kind.
    assert abs(np.mean(ranks) - 0.5) < 0.05
    odd = novelty.ranks(novelty.distances(tf.constant(others - 2)))
    assert np.mean(odd) > 0.95


def test_few_evaluation_images_leave_it_to_those_of_the_training():
    known = directions(0, 10, 30)
    for usual in (known[:0], known[:3]):
        novelty = novelty_of(known, usual)
        # Each without itself: 10, 10 and 20 degrees.
        expected = 1 - np.cos(np.radians([10, 20]))
        found = novelty.quantiles[[0, -1]]
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_it_belongs_to_the_weights_of_its_step(tmp_path):
    folder = str(tmp_path)
    assert read_novelty(folder, 3) is None
    novelty = novelty_of(directions(0, 50, 99), directions())
    novelty.write(folder, 3)
    found = read_novelty(folder, 3)
    np.testing.assert_array_equal(found.features, novelty.features)
    np.testing.assert_array_equal(found.quantiles, novelty.quantiles)
    assert read_novelty(folder, 4) is None


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_damaged_file_is_said(tmp_path, capsys, size):
    novelty_of(directions(0, 50, 99), directions()).write(str(tmp_path), 3)
    path = tmp_path / "novelty.npz"
    path.write_bytes(path.read_bytes()[:size])
    assert read_novelty(str(tmp_path), 3) is None
    assert "so that novelty is left out: " in capsys.readouterr().out


def test_features_of_zeros_are_no_error():
    novelty = novelty_of(np.zeros([3, 4], np.float32), np.zeros([0, 4]))
    found = novelty.ranks(novelty.distances(tf.zeros([1, 4])))
    assert np.isfinite(found).all()
    assert pytest.approx(1.0) == float(novelty.distances(tf.zeros([1, 4]))[0])
