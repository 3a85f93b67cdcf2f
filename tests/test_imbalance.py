"""Unequal classes, and the weight of an image of a rare one."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tf_simclr.data.imbalance import (
    are_unequal,
    balance_note,
    balanced_weights,
    counts_of,
    inequality,
)


@pytest.mark.parametrize(
    "counts, ratio, unequal",
    [
        ([3, 2, 2], 1.5, False),
        ([16, 10], 1.6, True),
        # A class without an image is not the smallest.
        ([4, 0, 4], 1.0, False),
        ([0, 7], 1.0, False),
        ([0, 0], 1.0, False),
        ([], 1.0, False),
    ],
)
def test_how_unequal_classes_are(counts, ratio, unequal):
    counts = np.array(counts, int)
    assert inequality(counts) == ratio
    assert are_unequal(counts) is unequal


def test_images_without_a_label_do_not_count():
    assert counts_of(np.array([2, -1, 0, 2]), 4).tolist() == [1, 0, 2, 0]
    assert counts_of(np.array([-1, -1]), 2).tolist() == [0, 0]


def test_weights_are_those_of_scikit_learn():
    labels = np.repeat([0, 1, 3], [100, 5, 20])
    found = balanced_weights(np.append(labels, [-1, -1, -1]))
    expected = compute_class_weight(
        "balanced", classes=np.array([0, 1, 3]), y=labels
    )
    np.testing.assert_allclose(found[[0, 1, 3]], expected, rtol=1e-6)
    # A class without a label.
    assert found[2] == 0.0 and found.dtype == np.float32
    assert np.isclose(found[labels].mean(), 1.0)
    assert balanced_weights(np.array([-1])).shape == (0,)


@pytest.mark.parametrize(
    "sizes, balance, told",
    [
        ([10, 2], "none", ""),
        ([11, 2], "none", "(a 11, b 2); --class_balance=loss or"),
        ([2, 11, 0], "none", "(b 11, a 2);"),
        ([9, 8, 7, 6, 2, 1], "none", "(a 9, b 8, c 7, ..., e 2, f 1);"),
        ([100, 5], "loss", "weighs 0.525 to 10.5 in the loss"),
        ([100, 0, 5], "batches", "batches draw 2 classes evenly"),
    ],
)
def test_what_is_said_of_unequal_classes(sizes, balance, told):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    note = balance_note(labels, "abcdef"[: len(sizes)], balance)
    assert told in note and bool(told) == bool(note)
