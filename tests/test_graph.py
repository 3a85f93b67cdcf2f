"""The graph of neighbours."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import Neighbours, nearest_neighbours

CLASSES, SIZE = 3, 90


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(SIZE, CLASSES), 8))


def test_the_graph_is_symmetric_and_falls_with_distance(graph):
    dense = graph.toarray()
    assert np.allclose(dense, dense.T) and not dense.diagonal().any()
    found = nearest_neighbours(clouds(SIZE, CLASSES), 8)
    squares = 2 - 2 * found.cosines[0].astype(float)
    weights = np.exp(-4 * squares / squares[-1])
    for place, weight in zip(found.indices[0], weights, strict=True):
        back = list(found.indices[place])
        other = 0.0
        if 0 in back:
            far = 2 - 2 * found.cosines[place].astype(float)
            other = np.exp(-4 * far[back.index(0)] / far[-1])
        assert np.isclose(dense[0, place], weight + other, rtol=1e-5)


def test_copies_make_no_infinite_weights():
    found = Neighbours(
        np.array([[1, 2], [0, 2], [0, 1]], np.int32),
        np.ones((3, 2), np.float32),
    )
    assert np.isfinite(neighbour_graph(found).toarray()).all()
