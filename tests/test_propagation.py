"""All ways of carrying labels along a graph."""

import numpy as np
import pytest

from tf_simclr.config.flat import options
from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import Neighbours
from tf_simclr.labels.propagation import PROPAGATIONS


def test_the_flag_offers_all():
    option = next(x for x in options() if x.field.name == "propagation")
    assert tuple(option.field.metadata["choices"]) == tuple(PROPAGATIONS)


@pytest.mark.parametrize("name", PROPAGATIONS)
def test_where_no_label_reaches(name):
    """Two parts of a graph that nothing joins, one of them without a label."""
    pairs = [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]
    indices = [
        [b if a == i else a for a, b in pairs if i in (a, b)] for i in range(6)
    ]
    graph = neighbour_graph(
        Neighbours(
            np.array(indices, np.int32), np.full((6, 2), 0.5, np.float32)
        )
    )
    found = PROPAGATIONS[name](graph, np.array([0, 1]), np.array([0, 0]), 2)
    assert np.isfinite(found).all()
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    if name == "spreading":
        assert np.allclose(found[3:], 0.5) and np.allclose(found[:3, 0], 1)
