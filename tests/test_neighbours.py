"""Exact neighbours by blocks, against all cosines."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.labels.neighbours import nearest_neighbours, unit_rows

CLASSES, SIZE = 3, 90


@pytest.mark.parametrize("blocks", [(90, 90), (32, 40), (7, 11), (2048, 4)])
def test_neighbours_are_those_of_all_cosines(blocks):
    features = clouds(SIZE, CLASSES)
    found = nearest_neighbours(features, 8, blocks)
    cosines = unit_rows(features) @ unit_rows(features).T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :8]
    assert np.array_equal(found.indices, order)
    expected = np.take_along_axis(cosines, order, axis=1)
    assert np.allclose(found.cosines, expected, atol=1e-6)


def test_neighbours_of_few_images():
    found = nearest_neighbours(clouds(SIZE, CLASSES)[:3], 8)
    assert found.indices.shape == (3, 2)
    assert nearest_neighbours(clouds(SIZE, CLASSES)[:1], 8).indices.shape == (
        1,
        0,
    )
    seen = []
    nearest_neighbours(clouds(SIZE, CLASSES), 2, (32, 40), seen.append)
    assert sum(seen) == SIZE


def test_neighbours_among_other_images():
    features, others = clouds(SIZE, CLASSES), clouds(40, CLASSES, seed=9)
    near = nearest_neighbours(others, 10, (16, 70), among=features)
    cosines = unit_rows(others) @ unit_rows(features).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    assert np.array_equal(near.indices, order)


def test_fewer_others_than_neighbours():
    near = nearest_neighbours(
        clouds(5, CLASSES, 0.6, 0), 10, among=clouds(3, CLASSES, 0.6, 1)
    )
    assert near.indices.shape == (5, 3)
    # One may look like itself there.
    same = nearest_neighbours(
        clouds(5, CLASSES, 0.6, 0), 1, among=clouds(5, CLASSES, 0.6, 0)
    )
    assert same.indices[:, 0].tolist() == [0, 1, 2, 3, 4]
