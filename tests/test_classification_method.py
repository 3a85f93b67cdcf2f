"""Training a classifier: what labels weigh, however few there are."""

import itertools
import pathlib
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny
from small_job import small_job

from tf_simclr import cli
from tf_simclr.config import ModelConfig
from tf_simclr.losses.classification import (
    LABELLED,
    distillation_loss,
    supervised_loss,
)
from tf_simclr.methods.base import Method, whole_loss
from tf_simclr.methods.distill import Distillation
from tf_simclr.metrics import counts
from tf_simclr.models.network import Architecture, Classifier
from tf_simclr.modes.prepare import prepare

ALPHA = 0.3
# Two of five images have a label.
LABELS = np.array([-1, 1, -1, 0, -1], np.int32)


class Linear(keras.Model):
    """A classifier of vectors of four numbers."""

    def __init__(self, seed: int):
        super().__init__()
        self.architecture = Architecture.for_pretraining(ModelConfig(), 8, 3)
        self.classifier = Classifier(3)
        self(tf.zeros([1, 4]))
        rng = np.random.default_rng(seed)
        for variable in self.variables:
            variable.assign(rng.normal(size=variable.shape))

    def call(self, images, training=False):
        return types.SimpleNamespace(logits=self.classifier(images))


def distilling(labels=LABELS, **objective) -> Distillation:
    """A linear student and its teacher."""
    job = small_job(
        Linear(0),
        Linear(0),
        stage="distill",
        labels=labels,
        teacher=Linear(1),
        objective={"distillation_alpha": ALPHA, **objective},
        optimizer={"weight_decay": 0.0},
    )
    return Distillation(job)


def batch(indices, labels=LABELS):
    """Some of the images."""
    shape = len(labels), 4
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    chosen = list(indices)
    return {
        "image": images[chosen],
        "label": tf.constant(labels[chosen]),
        "index": tf.constant(chosen, tf.int64),
    }


def gradient(tape: tf.GradientTape, loss, method: Method) -> np.ndarray:
    found = tape.gradient(loss, method.trainable)
    return np.concatenate([np.ravel(part) for part in found])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_labels_weigh_as_much_as_asked_for(size):
    method = distilling()
    known = LABELS >= 0
    with tf.GradientTape() as tape:
        images = batch(range(5))["image"]
        logits = method.network(images).logits
        answers = method.teachers[0].network(images).logits
        wanted = ALPHA * distillation_loss(answers, logits)
        wanted += (1 - ALPHA) * supervised_loss(LABELS[known], logits[known])
    wanted = gradient(tape, wanted, method)
    gradients = []
    for indices in itertools.combinations(range(5), size):
        with tf.GradientTape() as tape:
            loss, _, _ = whole_loss(method, batch(indices))
        gradients.append(gradient(tape, loss, method))
    assert np.allclose(np.mean(gradients, axis=0), wanted, atol=1e-6)


# Class 0 has three labels and class 2 one; class 1 has none.
UNEQUAL = np.array([0, -1, 0, 2, 0, -1], np.int32)
WEIGHTS = np.array([4 / (2 * 3), 0.0, 4 / 2], np.float32)


def weighted_loss(method: Method) -> np.ndarray:
    """The gradient of the loss over all of `UNEQUAL` at once."""
    known = UNEQUAL >= 0
    with tf.GradientTape() as tape:
        images = batch(range(6), UNEQUAL)["image"]
        logits = method.network(images).logits
        loss = ALPHA * distillation_loss(
            method.teachers[0].network(images).logits, logits
        )
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            UNEQUAL[known], logits[known]
        )
        weights = WEIGHTS[UNEQUAL[known]]
        loss += (1 - ALPHA) * tf.reduce_mean(losses * weights)
    return gradient(tape, loss, method)


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_classes_count_alike_however_a_batch_is_composed(size):
    method = distilling(UNEQUAL, class_balance="loss")
    wanted = weighted_loss(method)
    gradients = []
    for indices in itertools.combinations(range(6), size):
        with tf.GradientTape() as tape:
            loss, _, _ = whole_loss(method, batch(indices, UNEQUAL))
        gradients.append(gradient(tape, loss, method))
    # Also where no image of a batch has a label, or all are of one class.
    assert np.allclose(np.mean(gradients, axis=0), wanted, atol=1e-6)


def test_replicas_add_up_to_the_batch_whichever_classes_they_hold():
    method = distilling(UNEQUAL, class_balance="loss")
    wanted = weighted_loss(method)
    gradients = []
    # Both replicas hold three images; only one of them the rare class.
    for indices in ([0, 1, 2], [3, 4, 5]):
        with tf.GradientTape() as tape:
            loss, _, _ = whole_loss(method, batch(indices, UNEQUAL))
        gradients.append(gradient(tape, loss, method))
    # Gradients of replicas are averaged.
    assert np.allclose(np.mean(gradients, axis=0), wanted, atol=1e-6)


def test_the_figure_of_a_balanced_loss_is_weighted():
    method = distilling(UNEQUAL, class_balance="loss")
    _, found, outputs = whole_loss(method, batch(range(6), UNEQUAL))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        np.maximum(UNEQUAL, 0), outputs["logits"]
    )
    weights = WEIGHTS[UNEQUAL] * (UNEQUAL >= 0)
    total = (1 - ALPHA) * float(tf.reduce_sum(losses * weights))
    assert np.isclose(float(found["supervised_loss"]), total)


def test_equal_classes_are_weighed_as_before():
    labels = np.array([-1, 1, -1, 0, 2], np.int32)
    figures = [
        whole_loss(distilling(labels, **flags), batch(range(5), labels))[0]
        for flags in ({}, {"class_balance": "loss"})
    ]
    assert float(figures[0]) == float(figures[1])


def test_figures_of_labelled_images_are_sums_and_their_count():
    method = distilling()
    _, none, _ = whole_loss(method, batch([0, 2]))
    assert float(none[LABELLED]) == float(none["supervised_loss"]) == 0
    _, both, _ = whole_loss(method, batch([1, 3, 4]))
    logits = method.network(batch([1, 3])["image"]).logits
    mean = float(supervised_loss(LABELS[[1, 3]], logits))
    assert float(both[LABELLED]) == 2
    assert np.isclose(float(both["supervised_loss"]), 2 * (1 - ALPHA) * mean)


def test_a_loss_of_which_all_images_have_a_label_is_their_mean():
    known = [0, 1, 2]
    job = small_job(
        Linear(0),
        Linear(0),
        stage="distill",
        labels=known,
        teacher=Linear(1),
        objective={"distillation_alpha": ALPHA},
    )
    method = Distillation(job)
    assert counts(method.measured) == {"supervised_acc": LABELLED}
    images = {**batch([0, 1, 3]), "label": tf.constant(known)}
    _, found, outputs = whole_loss(method, images)
    mean = float(supervised_loss(tf.constant(known), outputs["logits"]))
    assert np.isclose(float(found["supervised_loss"]), (1 - ALPHA) * mean)


def test_a_stage_knows_the_share_of_its_labels(tmp_path):
    source = pathlib.Path(__file__).parent / "earlier_runs" / "finetuned"
    shutil.copytree(source, tmp_path / "teacher")
    flags = [*tiny.NETWORK, f"--dataset={tiny.write_npz(tmp_path)}"]
    flags += ["--train_batch_size=8", "--labels_per_class=2"]
    flags += [f"--teacher={tmp_path}/teacher", "--distillation_alpha=0.5"]
    flags += ["--mode=distill", f"--model_dir={tmp_path}/student"]
    method, job = prepare(cli.parse_config(["run.py", *flags]))
    method = method(job)
    assert counts(method.measured) == {
        "supervised_acc": LABELLED,
        "supervised_loss": LABELLED,
    }
    # A batch of all images: their labelled ones weigh 1 together.
    labels = tf.constant(method.images.labels)
    prepared = method.prepare({"label": labels})
    assert int(tf.math.count_nonzero(labels >= 0)) == 6
    assert np.isclose(float(tf.reduce_sum(prepared["label_share"])), 1)
