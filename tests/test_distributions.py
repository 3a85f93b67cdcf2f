"""Distributions over classes."""

import numpy as np
from clouds import clouds

from tf_simclr.labels.distributions import (
    carried_to,
    distributions,
    entropies,
    one_hot,
)
from tf_simclr.labels.graph import neighbour_weights
from tf_simclr.labels.neighbours import nearest_neighbours

CLASSES, SIZE = 4, 400
TRUE = np.arange(SIZE) % CLASSES


def test_entropies():
    found = distributions(np.array([[1.0, 0], [1, 1], [0, 0], [-1, 3]]))
    assert np.allclose(found, [[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1]])
    assert np.allclose(entropies(found), [0, np.log(2), np.log(2), 0])


def test_labels_are_carried_to_other_images():
    features = clouds(SIZE, CLASSES, 0.6)
    others = clouds(40, CLASSES, 0.6, seed=9)
    near = nearest_neighbours(others, 10, among=features)
    found = one_hot(TRUE, CLASSES)
    carried = carried_to(found, near)
    weights = neighbour_weights(near)
    expected = sum(weights[0, k] * found[near.indices[0, k]] for k in range(10))
    assert np.allclose(carried[0], expected / expected.sum(), atol=1e-5)
    right = carried.argmax(axis=1) == np.arange(40) % CLASSES
    assert right.mean() > 0.9
