"""Cross-entropy on labels, known and unknown."""

import golden_figures as golden
import numpy as np
import tensorflow as tf

from tf_simclr.losses.classification import accuracy, supervised_loss

FIGURES = golden.load("objective.npz")


def test_loss_equals_the_original():
    labels = np.argmax(FIGURES["sup_labels"], axis=1).astype("int32")
    loss = supervised_loss(labels, FIGURES["sup_logits"])
    assert golden.relative_error(loss.numpy(), FIGURES["sup_loss"]) < 1e-5


def test_images_without_label_do_not_count():
    logits = tf.constant(FIGURES["sup_logits"])
    labels = np.argmax(FIGURES["sup_labels"], axis=1).astype("int32")
    some = labels.copy()
    some[4:] = -1
    part = supervised_loss(labels[:4], logits[:4])
    assert np.isclose(float(supervised_loss(some, logits)), float(part))
    none = np.full_like(labels, -1)
    assert float(supervised_loss(none, logits)) == 0.0
    assert float(accuracy(none, logits)) == 0.0


def test_accuracy_counts_hits():
    logits = tf.one_hot([0, 1, 2, 3], 4)
    labels = tf.constant([0, 1, 0, -1])
    assert np.isclose(float(accuracy(labels, logits)), 2 / 3)
