"""Labels that the others contradict."""

import csv

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.spreading import held_out
from tf_simclr.labels.suspicious import suspicious_labels, write_suspicious

CLASSES, SIZE = 4, 400
TRUE = np.arange(SIZE) % CLASSES


@pytest.fixture(scope="module")
def graph():
    return neighbour_graph(nearest_neighbours(clouds(SIZE, CLASSES, 0.6), 10))


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


def test_the_only_label_of_a_class_is_not_suspicious():
    held = np.array([[0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    found = suspicious_labels(
        np.array([5, 6, 7]), np.array([1, 1, 0]), 1 - held
    )
    assert [each.place for each in found] == [5, 6]


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
