"""Labels carried along a graph, against dense closed forms."""

import numpy as np
import pytest

from tf_simclr.labels.graph import neighbour_graph, normalised
from tf_simclr.labels.neighbours import (
    Neighbours,
    nearest_neighbours,
    unit_rows,
)
from tf_simclr.labels.propagation import (
    PROPAGATIONS,
    distributions,
    entropies,
    leave_one_out,
    poisson_labels,
    spread_labels,
)
from tf_simclr.labels.solve import solve

CLASSES, SIZE = 3, 90
TRUE = np.arange(SIZE) % CLASSES


def clouds(spread: float = 0.4) -> np.ndarray:
    """float32 (90, 5): three clouds, image i of class i % 3."""
    rng = np.random.default_rng(0)
    centres = np.eye(5)[:CLASSES] * 3
    noise = spread * rng.normal(size=(SIZE, 5))
    return (centres[TRUE] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(), 8))


@pytest.mark.parametrize("blocks", [(90, 90), (32, 40), (7, 11), (2048, 4)])
def test_neighbours_are_those_of_all_cosines(blocks):
    features = clouds()
    found = nearest_neighbours(features, 8, blocks)
    cosines = unit_rows(features) @ unit_rows(features).T
    np.fill_diagonal(cosines, -np.inf)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :8]
    assert np.array_equal(found.indices, order)
    expected = np.take_along_axis(cosines, order, axis=1)
    assert np.allclose(found.cosines, expected, atol=1e-6)


def test_neighbours_of_few_images():
    found = nearest_neighbours(clouds()[:3], 8)
    assert found.indices.shape == (3, 2)
    assert nearest_neighbours(clouds()[:1], 8).indices.shape == (1, 0)
    seen = []
    nearest_neighbours(clouds(), 2, (32, 40), seen.append)
    assert sum(seen) == SIZE


def test_the_graph_is_symmetric_and_falls_with_distance(graph):
    dense = graph.toarray()
    assert np.allclose(dense, dense.T) and not dense.diagonal().any()
    found = nearest_neighbours(clouds(), 8)
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


PLACES = np.array([0, 1, 2, 3, 7])


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


def test_leaving_one_out_is_spreading_the_others(graph):
    found = leave_one_out(graph, PLACES, TRUE[PLACES], CLASSES)
    for row, place in enumerate(PLACES):
        others = np.delete(PLACES, row)
        expected = spread_labels(graph, others, TRUE[others], CLASSES)[place]
        assert np.allclose(found[row], expected, atol=1e-4)


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


def test_no_class_wins_by_its_number_of_labels(graph):
    """Of the first class, six times as many labels as of the others."""
    first = np.flatnonzero(TRUE == 0)[:12]
    places = np.concatenate([first, [1, 4, 2, 5]])
    found = spread_labels(graph, places, TRUE[places], CLASSES)
    rest = np.setdiff1d(np.arange(SIZE), places)
    counts = np.bincount(found[rest].argmax(axis=1), minlength=CLASSES)
    true = np.bincount(TRUE[rest], minlength=CLASSES)
    assert np.abs(counts - true).max() <= 4, counts


def test_entropies():
    found = distributions(np.array([[1.0, 0], [1, 1], [0, 0], [-1, 3]]))
    assert np.allclose(found, [[1, 0], [0.5, 0.5], [0.5, 0.5], [0, 1]])
    assert np.allclose(entropies(found), [0, np.log(2), np.log(2), 0])


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
