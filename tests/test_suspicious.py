"""Labels that the others contradict, and what is carried to other images."""

import csv

import numpy as np
import pytest

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.labels.graph import neighbour_graph, neighbour_weights
from tf_simclr.labels.neighbours import nearest_neighbours, unit_rows
from tf_simclr.labels.propagation import (
    carried_to,
    held_out,
    leave_one_out,
    spread_labels,
)
from tf_simclr.labels.suspicious import suspicious_labels, write_suspicious

CLASSES, SIZE = 4, 400
TRUE = np.arange(SIZE) % CLASSES


def clouds(size: int, seed: int) -> np.ndarray:
    """float32 (size, 6): image i is of class i % 4."""
    rng = np.random.default_rng(seed)
    centers = 3 * np.eye(6)[:CLASSES]
    noise = 0.6 * rng.normal(size=(size, 6))
    return (centers[np.arange(size) % CLASSES] + noise).astype(np.float32)


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(SIZE, 0), 10))


@pytest.mark.parametrize("most", [1000, 10])
def test_flipped_labels_are_found_first(graph, most):
    """Of 5 % flipped labels, four fifths among the first 8 % and more."""
    rng = np.random.default_rng(1)
    flipped = rng.choice(SIZE, SIZE // 20, replace=False)
    labels = TRUE.copy()
    labels[flipped] = (labels[flipped] + 1 + flipped % 3) % CLASSES
    places = np.arange(SIZE)
    without = held_out(graph, places, labels, CLASSES, most=most)
    found = suspicious_labels(places, labels, without)
    first = [each.place for each in found[: SIZE * 8 // 100]]
    assert np.isin(flipped, first).mean() >= 0.8
    margins = [each.probability - each.of_label for each in found]
    assert margins == sorted(margins, reverse=True) and min(margins) > 0
    hit = next(each for each in found if each.place in flipped)
    assert hit.label == labels[hit.place] and hit.likelier == TRUE[hit.place]


def test_few_labels_are_left_out_one_by_one(graph):
    places = np.arange(24)
    one = held_out(graph, places, TRUE[places], CLASSES)
    expected = leave_one_out(graph, places, TRUE[places], CLASSES)
    assert np.array_equal(one, expected)
    # In groups, about the same.
    groups = held_out(graph, places, TRUE[places], CLASSES, most=2, folds=12)
    assert np.mean(groups.argmax(axis=1) == one.argmax(axis=1)) > 0.8


def test_the_only_label_of_a_class_is_not_suspicious():
    held = np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    found = suspicious_labels(
        np.array([5, 6, 7]), np.array([1, 1, 0]), 1 - held
    )
    assert [each.place for each in found] == [5, 6]


def test_labels_are_carried_to_other_images(graph):
    features, others = clouds(SIZE, 0), clouds(40, 9)
    near = nearest_neighbours(others, 10, (16, 70), among=features)
    cosines = unit_rows(others) @ unit_rows(features).T
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    assert np.array_equal(near.indices, order)
    places = np.arange(16)
    found = spread_labels(graph, places, TRUE[places], CLASSES)
    carried = carried_to(found, near)
    weights = neighbour_weights(near)
    expected = sum(weights[0, k] * found[order[0, k]] for k in range(10))
    assert np.allclose(carried[0], expected / expected.sum(), atol=1e-5)
    right = carried.argmax(axis=1) == np.arange(40) % CLASSES
    assert right.mean() > 0.9


def test_fewer_others_than_neighbours():
    near = nearest_neighbours(clouds(5, 0), 10, among=clouds(3, 1))
    assert near.indices.shape == (5, 3)
    # One may look like itself there.
    same = nearest_neighbours(clouds(5, 0), 1, among=clouds(5, 0))
    assert same.indices[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_file_names_images_and_classes(tmp_path):
    pixels = ArrayPixels(np.zeros((3, 8, 8, 3), np.uint8))
    names, ids = ("ant, or so", '"bee"'), ("a", "b", "c")
    labels = np.array([0, 0, 1], np.int32)
    images = ImageSet("train", pixels, labels, names, ids)
    held = np.array([[0.9, 0.1], [0.25, 0.75], [0.5, 0.5]])
    found = suspicious_labels(np.arange(3), labels, held)
    path = tmp_path / "suspicious_labels.csv"
    write_suspicious(str(path), found, images)
    with open(path, newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {
        "path": "b",
        "label": "ant, or so",
        "likelier": '"bee"',
        "probability": "0.7500",
        "of_its_label": "0.2500",
    }
    write_suspicious(str(path), [], images)
    assert not path.exists()
