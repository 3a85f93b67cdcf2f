"""Label spreading, against its dense closed form."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.labels.graph import neighbour_graph, normalised
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.spreading import held_out, leave_one_out, spread_labels

CLASSES, SIZE = 3, 90
TRUE = np.arange(SIZE) % CLASSES
PLACES = np.array([0, 1, 2, 3, 7])


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(SIZE, CLASSES), 8))


def dense_spread(graph, places, labels, alpha=0.99):
    """(1 - a) (I - a S)^-1 Y, Y's columns with equal sums."""
    seeds = np.zeros((SIZE, CLASSES))
    seeds[places, labels] = 1
    seeds /= np.maximum(seeds.sum(axis=0), 1)
    matrix = np.eye(SIZE) - alpha * normalised(graph).toarray()
    return (1 - alpha) * np.linalg.solve(matrix, seeds)


def test_spreading_is_its_closed_form(graph):
    found = spread_labels(graph, PLACES, TRUE[PLACES], CLASSES)
    expected = dense_spread(graph, PLACES, TRUE[PLACES])
    expected /= expected.sum(axis=1, keepdims=True)
    assert found.dtype == np.float32
    assert np.allclose(found, expected, atol=1e-4)
    assert np.mean(found.argmax(axis=1) == TRUE) > 0.9


def test_leaving_one_out_is_spreading_the_others(graph):
    found = leave_one_out(graph, PLACES, TRUE[PLACES], CLASSES)
    for row, place in enumerate(PLACES):
        others = np.delete(PLACES, row)
        expected = spread_labels(graph, others, TRUE[others], CLASSES)[place]
        assert np.allclose(found[row], expected, atol=1e-4)


def test_few_labels_are_left_out_one_by_one(graph):
    places = np.arange(24)
    one = held_out(graph, places, TRUE[places], CLASSES)
    expected = leave_one_out(graph, places, TRUE[places], CLASSES)
    assert np.array_equal(one, expected)
    # In groups, about the same.
    groups = held_out(graph, places, TRUE[places], CLASSES, most=2, folds=12)
    assert np.mean(groups.argmax(axis=1) == one.argmax(axis=1)) > 0.8


def test_no_class_wins_by_its_number_of_labels(graph):
    """Of the first class, six times as many labels as of the others."""
    first = np.flatnonzero(TRUE == 0)[:12]
    places = np.concatenate([first, [1, 4, 2, 5]])
    found = spread_labels(graph, places, TRUE[places], CLASSES)
    rest = np.setdiff1d(np.arange(SIZE), places)
    counts = np.bincount(found[rest].argmax(axis=1), minlength=CLASSES)
    true = np.bincount(TRUE[rest], minlength=CLASSES)
    assert np.abs(counts - true).max() <= 4, counts
