"""Losses on the network's own labels, against their equations."""

import numpy as np
import tensorflow as tf

from tf_simclr.losses.consistency import (
    aligned,
    class_thresholds,
    fairness_loss,
    pseudo_label_loss,
)

RNG = np.random.default_rng(0)


def distributions(count: int, classes: int = 4) -> np.ndarray:
    return RNG.dirichlet(np.ones(classes), count).astype("float32")


def test_sure_images_learn_their_label():
    logits = RNG.normal(size=(5, 4)).astype("float32")
    classes = np.array([0, 3, 3, 1, 2])
    counted = np.array([0.2, 0, 0.2, 0, 0.2], np.float32)
    found = pseudo_label_loss(logits, classes, counted)
    powers = np.exp(logits)
    chosen = powers[np.arange(5), classes] / powers.sum(axis=1)
    expected = -np.sum(counted * np.log(chosen))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_likeliest_class_has_the_highest_threshold():
    likely = np.array([0.1, 0.4, 0.3, 0.2], np.float32)
    found = class_thresholds(tf.constant(0.8), likely)
    np.testing.assert_allclose(found, [0.2, 0.8, 0.6, 0.4], rtol=1e-6)


def test_alignment_gives_the_classes_their_shares():
    rows = distributions(1000)
    likely = rows.mean(axis=0)
    wanted = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
    found = aligned(rows, likely, wanted).numpy()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    expected = rows * wanted / likely
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # Classes that never come are not divided by 0.
    assert np.isfinite(aligned(rows, likely * [1, 0, 1, 1], wanted)).all()


def test_fairness_is_the_written_formula():
    likely, histogram, batch_likely = distributions(3)
    batch_histogram = np.array([0.5, 0.25, 0.25, 0], np.float32)

    def shares(values, counts):
        quotients = np.divide(values, counts, out=np.zeros(4), where=counts > 0)
        return quotients / quotients.sum()

    expected = np.sum(
        shares(likely, histogram)
        * np.log(shares(batch_likely, batch_histogram) + 1e-12)
    )
    found = fairness_loss(likely, histogram, batch_likely, batch_histogram)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    nothing = fairness_loss(likely, histogram, tf.zeros(4), tf.zeros(4))
    assert float(nothing) == 0
