"""Scores of predictions, and the files that hold them."""

import dataclasses
import functools
import json
import tracemalloc

import numpy as np
import pytest
from sklearn import metrics

from tf_simclr.evaluation import classification_report as report_module
from tf_simclr.evaluation.accuracy import (
    Interval,
    bootstrap_intervals,
    by_blocks,
    label_ranks,
    top_k_accuracy,
)
from tf_simclr.evaluation.calibration import Reliability, softmax
from tf_simclr.evaluation.classification_report import (
    classification_report,
    worst_mistakes,
)
from tf_simclr.evaluation.embeddings import feature_plane
from tf_simclr.evaluation.predict import Predictions
from tf_simclr.evaluation.report_json import from_json, to_json
from tf_simclr.report.evaluation_charts import (
    confusion_cells,
    reliability_bars,
)
from tf_simclr.report.evaluation_files import draw_evaluation
from tf_simclr.report.evaluation_text import (
    evaluation_text,
    interval_text,
    score_text,
)
from tf_simclr.report.figures import (
    confusion_figure,
    picture_grid,
    reliability_figure,
)
from tf_simclr.report.squares import confusion_chart, reliability_chart

CLASSES = 7


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, 200)
    logits = 3 * rng.normal(size=(200, CLASSES)).astype(np.float32)
    logits[np.arange(200), labels] += 3
    labels[::20] = -1
    return Predictions(
        labels,
        logits,
        tuple(f"class|{i}" for i in range(CLASSES)),
        tuple(f"image{i}" for i in range(200)),
    )


@pytest.fixture(scope="module")
def report(predictions):
    return classification_report(predictions)


def test_scores_are_those_of_scikit_learn(predictions, report):
    known = predictions.labels >= 0
    labels, logits = predictions.labels[known], predictions.logits[known]
    guesses = np.argmax(logits, axis=1)
    expected = {
        "top_1": metrics.accuracy_score(labels, guesses),
        "top_5": metrics.top_k_accuracy_score(labels, logits, k=5),
        "macro_f1": metrics.f1_score(labels, guesses, average="macro"),
        "cohen_kappa": metrics.cohen_kappa_score(labels, guesses),
    }
    assert report.count == known.sum() == 190
    for name, value in expected.items():
        found = report.scores[name]
        assert np.isclose(found.value, value)
        assert found.low <= found.value <= found.high
        assert found.low < found.high


def test_the_temperature_is_fitted_on_other_images(report):
    found = report.calibration
    assert found.fitted_on == found.measured_on == 95
    assert found.before.count.sum() == found.after.count.sum() == 95
    assert found.after.error < found.before.error


def test_the_worst_mistakes_come_first(predictions, report):
    probabilities = softmax(predictions.logits)
    confidences = [m.confidence for m in report.mistakes]
    assert confidences == sorted(confidences, reverse=True)
    for mistake in report.mistakes:
        assert predictions.labels[mistake.index] == mistake.label
        assert mistake.label != mistake.prediction
        row = probabilities[mistake.index]
        assert np.isclose(row[mistake.prediction], mistake.confidence)
    first = report.mistakes[0]
    assert report.mistake_ids[0] == f"image{first.index}"


def test_classes_that_are_never_predicted(predictions, report):
    assert report.classes_never_predicted == []
    logits = predictions.logits.copy()
    logits[:, [2, 5]] = -100
    labels = np.where(predictions.labels == 5, 1, predictions.labels)
    found = classification_report(
        dataclasses.replace(predictions, labels=labels, logits=logits)
    )
    # There is no image of the other class.
    assert found.classes_never_predicted == ["class|2"]


def test_images_without_a_label_are_no_mistakes():
    sure = np.array([[0.9, 0.1], [0.9, 0.1]])
    assert worst_mistakes(np.array([-1, 0]), sure, 5) == []


def test_it_is_read_as_it_was_written(report):
    text = json.dumps(to_json(report))
    found = from_json(json.loads(text))
    assert json.dumps(to_json(found)) == text
    matrices = found.confusions.matrix(), report.confusions.matrix()
    assert np.array_equal(*matrices)
    assert found.calibration.before.error == (report.calibration.before.error)


@pytest.mark.parametrize("block_size", [1, 3 * CLASSES, 1 << 19])
def test_blocks_of_rows_give_the_same_figures(predictions, block_size):
    logits, rows = predictions.logits, np.arange(0, 200, 3)
    weights = np.random.default_rng(0).random(len(rows))

    def largest(block, weights):
        return block.max(axis=1) * weights

    found = by_blocks(largest, logits, rows, weights, block_size=block_size)
    assert np.array_equal(found, largest(logits[rows], weights))


def test_of_equal_logits_the_earlier_class_comes_first():
    rng = np.random.default_rng(0)
    logits = rng.integers(0, 3, (40, 9)).astype(np.float32)
    labels = rng.integers(0, 9, 40)
    order = np.argsort(-logits, axis=1, kind="stable")
    _, ranks = np.nonzero(order == labels[:, None])
    assert np.array_equal(label_ranks(labels, logits, np.arange(40)), ranks)
    for k in (1, 5):
        share = top_k_accuracy(labels, logits, k)
        assert np.isclose(share, np.mean(ranks < k))
    with pytest.raises(ValueError, match="without a labelled image"):
        top_k_accuracy(np.full(40, -1), logits, 1)


def test_twenty_one_thousand_classes_take_little_memory(monkeypatch):
    # To be noted by tracemalloc takes time.
    few = functools.partial(bootstrap_intervals, resamples=20)
    monkeypatch.setattr(report_module, "bootstrap_intervals", few)
    count, classes = 30, 21_000
    rng = np.random.default_rng(0)
    logits = rng.random((count, classes), np.float32)
    labels = rng.integers(0, classes, count)
    logits[np.arange(count), labels] += rng.integers(0, 2, count)
    names = tuple(map(str, range(classes)))
    tracemalloc.start()
    try:
        found = classification_report(
            Predictions(labels, logits, names, names[:count])
        )
        written = to_json(found)
        again = from_json(written)
        without = dataclasses.replace(found, mistakes=[])
        pictures = draw_evaluation(without, None, 8)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The whole matrix takes 3.5 GB; a picture of 600 rows about 100 MB.
    assert peak < 2**28
    assert found.scores["top_1"].value == np.mean(
        np.argmax(logits, axis=1) == labels
    )
    assert np.array_equal(again.classes.called, found.classes.called)
    assert sum(n for row in again.confusions.rows() for n in row.values()) == 30
    groups = found.confusions.grouped(35).matrix()
    assert groups.shape == (600, 600) and groups.sum() == 30
    assert pictures["confusion"].startswith(b"\x89PNG")


def test_one_image_has_scores_and_no_calibration(predictions):
    one = Predictions(
        np.array([2]), predictions.logits[:1], predictions.class_names, ("a",)
    )
    found = classification_report(one)
    assert found.calibration is None
    assert "Calibration" not in evaluation_text("one", {}, found, {})


def test_the_text_holds_every_class_and_score(report):
    text = evaluation_text(
        "a network on images",
        {"eval/label_top_1_accuracy": 0.5},
        report,
        {"confusion": "confusion.png"},
    )
    assert "| eval/label_top_1_accuracy | 0.5 |" in text
    for score in report.scores.values():
        assert f"| {score.value:.4f} | {score.low:.4f} to" in text
    for index in range(CLASSES):
        # A bar in a name would end its cell.
        assert f"| class\\|{index} | " in text
    assert f"{report.calibration.after.error:.4f}" in text
    assert "![confusion](confusion.png)" in text


def test_figures_are_pictures_of_their_figures(report):
    import tensorflow as tf

    found = report.calibration
    rng = np.random.default_rng(0)
    drawn = [
        confusion_figure(report.confusions.matrix(), report.class_names),
        confusion_figure(rng.integers(0, 9, (90, 90)), ["name"] * 90),
        reliability_figure(found.before, found.after),
        picture_grid(rng.random((5, 8, 8, 3)), list("abcde")),
    ]
    for png in drawn:
        pixels = tf.io.decode_png(png).numpy()
        assert min(pixels.shape[:2]) > 200
        assert len(png) < 200_000
        assert pixels.std() > 5


def test_charts_show_numbers_and_names_that_can_be_read():
    matrix = np.array([[3, 1], [0, 0]])
    cells = confusion_cells(matrix, ["cat", "dog"])
    np.testing.assert_array_equal(cells.shares, [[0.75, 0.25], [0, 0]])
    assert cells.names == ("cat", "dog")
    assert cells.numbers == {(0, 0): "3", (0, 1): "1"}
    assert cells.is_dark(0, 0) and not cells.is_dark(0, 1)
    some = confusion_cells(np.ones((30, 30), int), ["name"] * 30)
    assert some.names and not some.numbers
    assert not confusion_cells(np.ones((41, 41), int), ["name"] * 41).names
    drawn = confusion_chart("title", matrix, ["cat", "dog"])
    assert [">3<" in drawn, ">1<" in drawn, ">0<" in drawn] == [1, 1, 0]
    assert drawn.count("inside") == 1 and drawn.count("<rect") == 4


def test_bins_without_images_are_not_drawn():
    bins = Reliability(
        np.array([0.0, 0.4, 0.9]),
        np.array([0.0, 0.5, 1.0]),
        np.array([0, 2, 5]),
    )
    assert [tuple(bar) for bar in reliability_bars(bins)] == [
        (1 / 3, 2 / 3, 0.5, 0.4),
        (2 / 3, 1.0, 1.0, 0.9),
    ]
    assert reliability_chart("title", bins).count("<circle") == 2


def test_a_plane_keeps_neighbours_together():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 20))
    labels = np.repeat(np.arange(3), 40)
    features = centres[labels] + 0.1 * rng.normal(size=(120, 20))
    for count, method in ((120, "t-SNE"), (60, "principal components")):
        chosen = slice(None, None, 120 // count)
        plane = feature_plane(features[chosen])
        assert plane.method == method
        assert plane.points.shape == (count, 2)
        score = metrics.silhouette_score(plane.points, labels[chosen])
        assert score > 0.5
    assert feature_plane(features[:1]).points.shape == (1, 2)


def test_what_rounds_to_zero_has_no_sign():
    found = Interval(-0.00003, -0.00004, 0.25)
    assert score_text(found.value) == "0.0000"
    assert interval_text(found) == "0.0000 to 0.2500"
    assert score_text(-0.25) == "-0.2500"
