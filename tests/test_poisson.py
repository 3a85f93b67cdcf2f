"""Poisson learning, against its dense closed form, and with class sizes."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.poisson import poisson_labels, poisson_mbo_labels

CLASSES, SIZE = 3, 90
TRUE = np.arange(SIZE) % CLASSES
PLACES = np.array([0, 1, 2, 3, 7])


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(SIZE, CLASSES), 8))


def test_poisson_is_its_closed_form(graph):
    found = poisson_labels(graph, PLACES, TRUE[PLACES], CLASSES)
    seeds = np.eye(CLASSES)[TRUE[PLACES]]
    right = np.zeros((SIZE, CLASSES))
    right[PLACES] = seeds - seeds.mean(axis=0)
    dense = graph.toarray()
    degrees = dense.sum(axis=1, keepdims=True)
    laplacian = np.diag(degrees[:, 0] * (1 + 1e-4)) - dense
    u = np.linalg.solve(laplacian, right)
    u -= (degrees * u).sum(axis=0) / degrees.sum()
    u *= len(PLACES) / seeds.sum(axis=0)
    expected = np.maximum(u, 0)
    # Not even one image is of no class.
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(found, expected, atol=1e-4)
    assert np.mean(found.argmax(axis=1) == TRUE) > 0.9


def test_class_sizes_are_those_wanted(graph):
    found = poisson_mbo_labels(graph, PLACES, TRUE[PLACES], CLASSES)
    assert found.dtype == np.float32 and set(np.unique(found)) == {0, 1}
    assert np.mean(found.argmax(axis=1) == TRUE) > 0.95
    assert np.abs(found.sum(axis=0) - SIZE / CLASSES).max() <= 2


def test_sizes_may_be_others():
    """In the overlap of two clouds, the larger class wins."""
    features = clouds(SIZE, CLASSES, 1.2)
    graph = neighbour_graph(nearest_neighbours(features, 8))
    shares = np.array([0.5, 0.25, 0.25])
    labels = TRUE[PLACES]
    even = poisson_mbo_labels(graph, PLACES, labels, CLASSES).sum(axis=0)
    found = poisson_mbo_labels(graph, PLACES, labels, CLASSES, shares)
    sizes = found.sum(axis=0)
    assert even[0] < 35 and sizes[0] > even[0] + 5, (even, sizes)


def test_sizes_help_where_clouds_overlap():
    """Of 400 images in clouds that overlap, with one label each."""
    size, classes, right = 400, 4, {"poisson": [], "mbo": []}
    true = np.arange(size) % classes
    for seed in range(5):
        features = clouds(size, classes, 1.1, seed)
        graph = neighbour_graph(nearest_neighbours(features, 10))
        places = np.arange(classes)
        for name, carry in (
            ("poisson", poisson_labels),
            ("mbo", poisson_mbo_labels),
        ):
            found = carry(graph, places, true[places], classes)
            right[name].append(np.mean(found.argmax(axis=1) == true))
    assert np.mean(right["mbo"]) > np.mean(right["poisson"]) + 0.01, right


def test_classes_without_a_label_get_no_image(graph):
    places = np.array([0, 1, 3, 4])
    found = poisson_mbo_labels(graph, places, TRUE[places], CLASSES)
    assert found[:, 2].sum() == 0 and found.sum() == SIZE
