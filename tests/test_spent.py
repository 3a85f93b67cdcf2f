"""Worth of the first labels of a list."""

import numpy as np
import pytest
from clouds import clouds

from tf_simclr.labels.graph import neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours
from tf_simclr.labels.spent import estimated, halvings, spent_labels
from tf_simclr.labels.spreading import held_out, spread_labels

CLASSES, SIZE = 3, 90
TRUE = np.arange(SIZE) % CLASSES


@pytest.mark.parametrize(
    "count, expected",
    [
        (1, [1]),
        (9, [9]),
        (10, [5, 10]),
        (40, [5, 10, 20, 40]),
        (41, [5, 10, 20, 41]),
    ],
)
def test_halvings(count, expected):
    assert halvings(count) == expected


def test_the_first_labels_are_scored_alone():
    graph = neighbour_graph(nearest_neighbours(clouds(SIZE, CLASSES), 8))
    # Two thirds of the classes come late.
    places = np.array([0, 3, 6, 9, 12, 1, 4, 2, 5, 7])
    labels = TRUE[places]

    def accuracy(found: np.ndarray) -> float:
        return float(np.mean(found.argmax(axis=1) == TRUE))

    (first,) = spent_labels(graph, places, labels, CLASSES, accuracy)
    assert first.labels == 5 and first.accuracy == pytest.approx(1 / 3)
    assert first.estimate == 1.0
    every = accuracy(spread_labels(graph, places, labels, CLASSES))
    assert every > 0.9
    (unscored,) = spent_labels(graph, places, labels, CLASSES)
    assert unscored.accuracy is None and unscored.estimate == 1.0
    without = held_out(graph, places, labels, CLASSES)
    assert estimated(labels, without) >= 0.8


def test_of_one_label_per_class_nothing_follows():
    assert estimated(np.array([0, 1, 2]), np.eye(3)) is None
