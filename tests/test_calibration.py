"""Calibration, against closed forms and scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from tf_simclr.evaluation.calibration import (
    TEMPERATURES,
    fit_temperature,
    reliability,
    softmax,
)


def noisy(count: int = 4000, classes: int = 5, scale: float = 1.0):
    """Labels that were drawn from the softmax of the logits / scale."""
    rng = np.random.default_rng(0)
    logits = 2.0 * rng.normal(size=(count, classes))
    draws = rng.gumbel(size=(count, classes))
    return np.argmax(logits + draws, axis=1), scale * logits


def test_error_of_a_hand_made_case():
    # Two images at 0.8 of which one is right, two at 0.6, both right.
    confidence = np.array([0.8, 0.8, 0.6, 0.6])
    logits = np.stack([np.log(confidence), np.log(1 - confidence)], axis=1)
    found = reliability(np.array([0, 1, 0, 0]), logits, bins=10)
    assert np.isclose(found.error, 0.5 * abs(0.5 - 0.8) + 0.5 * abs(1 - 0.6))
    assert found.count.sum() == 4


def test_bins_are_those_of_scikit_learn():
    labels, logits = noisy()
    confidence = softmax(logits).max(axis=1)
    correct = np.argmax(logits, axis=1) == labels
    accuracy, mean = calibration_curve(correct, confidence, n_bins=15)
    found = reliability(labels, logits)
    filled = found.count > 0
    assert np.allclose(found.accuracy[filled], accuracy)
    assert np.allclose(found.confidence[filled], mean)


def test_labels_drawn_from_the_softmax_are_calibrated():
    labels, logits = noisy()
    assert reliability(labels, logits).error < 0.03
    assert reliability(labels, 3 * logits).error > 0.15


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_temperature_undoes_a_scale(scale):
    labels, logits = noisy(scale=scale)
    assert np.isclose(fit_temperature(labels, logits), scale, rtol=0.1)


def test_the_temperature_of_equal_margins():
    # Margins of 2, three of four right: sigmoid(2 / T) = 3/4.
    logits = np.array([[2.0, 0.0]] * 4)
    found = fit_temperature(np.array([0, 0, 0, 1]), logits)
    assert np.isclose(found, 2.0 / np.log(3.0), rtol=1e-6)


def test_the_temperature_minimises_the_cross_entropy():
    labels, logits = noisy(scale=1.7)
    best = fit_temperature(labels, logits)
    losses = [
        log_loss(labels, softmax(logits / (best * factor)))
        for factor in (0.98, 1.0, 1.02)
    ]
    assert np.argmin(losses) == 1


def test_temperatures_stay_in_bounds():
    logits = np.array([[2.0, 0.0]] * 4)
    low = fit_temperature(np.zeros(4, int), logits)
    high = fit_temperature(np.ones(4, int), logits)
    assert np.allclose([low, high], TEMPERATURES, rtol=1e-6)


def test_huge_logits_have_probabilities():
    assert np.array_equal(softmax(np.array([[1e4, 0.0]])), [[1.0, 0.0]])
