"""Class scores, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from tf_simclr.evaluation.confusion import (
    class_counts,
    cohen_kappa,
    count_confusions,
    f1,
    macro_f1,
    most_confused,
    precision,
    recall,
)


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    """300 labels of 6 classes, and guesses; class 4 is never a label, class 5
    is never a guess."""
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, 5], 300)
    guesses = np.where(rng.random(300) < 0.6, labels, rng.integers(0, 5, 300))
    return labels, np.where(guesses == 5, 0, guesses)


def test_scores_are_those_of_scikit_learn(answers):
    counts = class_counts(*answers, num_classes=6)
    expected = metrics.precision_recall_fscore_support(
        *answers, labels=range(6), zero_division=0
    )
    found = precision(counts), recall(counts), f1(counts), counts.present
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(ours, theirs)
    theirs = metrics.f1_score(*answers, average="macro", zero_division=0)
    assert np.isclose(macro_f1(counts), theirs)
    theirs = metrics.cohen_kappa_score(*answers)
    assert np.isclose(cohen_kappa(counts), theirs)


def test_confusion_matrix_is_that_of_scikit_learn(answers):
    confusions = count_confusions(*answers, num_classes=6)
    theirs = metrics.confusion_matrix(*answers, labels=range(6))
    assert np.array_equal(confusions.matrix(), theirs)
    label, guess, times = most_confused(confusions, 1)[0]
    wrong = theirs - np.diag(np.diag(theirs))
    assert label != guess and times == wrong.max() == wrong[label, guess]


def test_classes_that_do_not_occur_do_not_count():
    counts = class_counts(np.array([0, 1]), np.array([0, 1]), num_classes=1000)
    assert macro_f1(counts) == 1.0


def test_one_class_agrees_completely():
    same = np.zeros(5, int)
    assert cohen_kappa(class_counts(same, same, num_classes=3)) == 1.0


def test_nothing_confused_where_nothing_is_wrong():
    right = np.array([0, 1, 1])
    assert most_confused(count_confusions(right, right, 2), 5) == []
