"""Guesses while labelling, against classes that are known."""

import threading
import time

import numpy as np
import pytest

from tf_simclr.labels.guide import Background, Guide, _estimate
from tf_simclr.labels.neighbours import unit_rows

NAMES = ("ant", "bee", "cat")


def clusters(count=60, seed=0):
    """Features of three clusters, and their classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 3
    return np.eye(3)[classes] * 5 + rng.normal(size=(count, 3)), classes


def labels_of(classes, count):
    return {place: NAMES[classes[place]] for place in range(count)}


@pytest.fixture(scope="module")
def guide():
    return Guide(clusters()[0], [])


def test_no_guess_before_two_classes(guide):
    for labels in ({}, {0: "ant"}, {0: "ant", 3: "ant"}):
        guide.update(labels)
        assert guide.guess(5) is None


def test_one_label_of_each_class_tells_the_others(guide):
    _, classes = clusters()
    guide.update(labels_of(classes, 3))
    found = [guide.guess(place) for place in range(60)]
    names = np.array([name for name, _ in found])
    assert np.mean(names == np.array(NAMES)[classes]) > 0.9
    assert all(1 / 3 <= confidence <= 1 for _, confidence in found)


def test_each_update_is_counted(guide):
    before = guide.guesses.serial
    guide.update({})
    guide.update({0: "ant", 1: "bee"})
    assert guide.guesses.serial == before + 2


def test_similar_images_come_nearest_first(guide):
    rows = unit_rows(clusters()[0])
    cosines = rows @ rows[7]
    expected = [x for x in np.argsort(-cosines, kind="stable") if x != 7]
    assert guide.similar(7, 6) == expected[:6]
    assert len(guide.similar(7, 1000)) == 59


def test_the_estimate_comes_with_the_labels():
    features, classes = clusters()
    guide = Guide(features, [])
    for count in range(1, 16):
        guide.estimate(labels_of(classes, count))
    assert [each.labels for each in guide.estimates] == [5, 10, 15]
    for each in guide.estimates:
        assert 0 <= each.low <= each.accuracy <= each.high <= 1
    assert guide.estimates[-1].accuracy > 0.8
    # Nothing of labels that were taken back.
    guide.estimate(labels_of(classes, 9))
    assert [each.labels for each in guide.estimates] == [5]


def test_labels_at_random_are_found_out():
    features, _ = clusters(120)
    guide = Guide(features, [])
    chosen = np.random.default_rng(0).integers(0, 3, 90)
    guide.estimate({place: NAMES[c] for place, c in enumerate(chosen)})
    assert guide.estimates[-1].accuracy < 0.5


def test_the_interval_is_wilsons():
    """Newcombe (Statistics in Medicine 1998), table I: 81 of 263, 15 of 148,
    0 of 20."""
    for right, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
    ):
        found = _estimate(right, count)
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_sample_holds_what_is_to_be_labelled(capsys):
    features, classes = clusters(300)
    guide = Guide(features, [299, 7], most=100)
    assert 100 <= len(guide.places) <= 102
    assert {7, 299} <= set(guide.places)
    said = f"Guesses go by {len(guide.places)} of 300 images"
    assert said in capsys.readouterr().out
    known = {int(p): NAMES[classes[p]] for p in guide.places[:12]}
    outside = int(np.setdiff1d(np.arange(300), guide.places)[0])
    guide.update({**known, outside: "ant"})
    assert guide.guess(299)[0] == NAMES[classes[299]]
    assert guide.guess(outside) is None
    assert guide.similar(outside, 6) == []


def test_one_image_is_enough():
    guide = Guide(np.ones((1, 4)), [0])
    guide.update({0: "ant"})
    assert guide.similar(0, 6) == []


def test_work_that_was_asked_for_meanwhile_is_done_once_more():
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def work():
        calls.append(time.monotonic())
        begun.set()
        go_on.wait(10)

    background = Background(work)
    background.ask()
    assert begun.wait(10)
    for _ in range(5):
        background.ask()
    assert not background.wait(0.01)
    go_on.set()
    assert background.wait(10)
    assert len(calls) == 2
    background.close()
