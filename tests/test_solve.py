"""Conjugate gradients."""

import numpy as np

from tf_simclr.labels.solve import solve


def test_systems_of_many_right_hand_sides():
    rng = np.random.default_rng(1)
    half = rng.normal(size=(20, 20))
    matrix = half @ half.T + np.eye(20)
    right = rng.normal(size=(20, 4))
    right[:, 2] = 0
    found = solve(lambda x: matrix @ x, right, tolerance=1e-10)
    assert np.allclose(found, np.linalg.solve(matrix, right), atol=1e-6)
    # Each column is solved as it is alone.
    for column in range(4):
        alone = solve(lambda x: matrix @ x, right[:, [column]], tolerance=1e-10)
        assert np.allclose(alone[:, 0], found[:, column])
