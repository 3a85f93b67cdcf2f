"""The objective of a classifier: what labels weigh, however few there are."""

import itertools
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

import run
from tf_simclr.losses.classification import (
    LABELLED,
    distillation_loss,
    supervised_loss,
)
from tf_simclr.models.network import NetworkOutputs
from tf_simclr.modes.context import StageContext
from tf_simclr.modes.distill import distill
from tf_simclr.modes.supervised_task import classification_objective

ALPHA = 0.3
# Two of five images have a label.
LABELS = np.array([-1, 1, -1, 0, -1], np.int32)


def task():
    """A linear student, its images, and the logits of its teacher."""
    rng = np.random.default_rng(0)
    weights = tf.Variable(rng.normal(size=(4, 3)).astype("float32"))
    images = rng.normal(size=(5, 4)).astype("float32")
    teacher = rng.normal(size=(5, 3)).astype("float32")

    def network(images, training):
        return NetworkOutputs(images, [images], tf.matmul(images, weights), {})

    def losses(batch, rows):
        return {
            "distillation_loss": ALPHA
            * distillation_loss(
                batch["teacher"], rows["logits"], shares=batch["share"]
            ),
            "supervised_loss": (1 - ALPHA)
            * supervised_loss(
                batch["label"], rows["logits"], batch["label_share"]
            ),
        }

    objective = classification_objective(
        network,
        losses,
        [],
        0.0,
        labelled=2 / 5,
        label_weight=1 - ALPHA,
    )

    def batch(indices):
        chosen = list(indices)
        return {
            "image": images[chosen],
            "teacher": teacher[chosen],
            "label": tf.constant(LABELS[chosen]),
        }

    return objective, batch, weights


@pytest.mark.parametrize("size", [1, 2, 3])
def test_labels_weigh_as_much_as_asked_for(size):
    objective, batch, weights = task()
    known = LABELS >= 0
    with tf.GradientTape() as tape:
        all_images = batch(range(5))
        logits = tf.matmul(all_images["image"], weights)
        wanted = ALPHA * distillation_loss(all_images["teacher"], logits)
        wanted += (1 - ALPHA) * supervised_loss(LABELS[known], logits[known])
    wanted = tape.gradient(wanted, weights).numpy()
    gradients = []
    for indices in itertools.combinations(range(5), size):
        with tf.GradientTape() as tape:
            loss, _ = objective(batch(indices))
        gradients.append(tape.gradient(loss, weights).numpy())
    assert np.allclose(np.mean(gradients, axis=0), wanted, atol=1e-6)


def test_figures_of_labelled_images_are_sums_and_their_count():
    objective, batch, weights = task()
    _, none = objective(batch([0, 2]))
    assert float(none[LABELLED]) == float(none["supervised_loss"]) == 0
    _, both = objective(batch([1, 3, 4]))
    logits = tf.matmul(batch([1, 3])["image"], weights)
    mean = float(supervised_loss(LABELS[[1, 3]], logits))
    assert float(both[LABELLED]) == 2
    assert np.isclose(float(both["supervised_loss"]), 2 * (1 - ALPHA) * mean)


def test_a_stage_knows_the_share_of_its_labels(tmp_path, monkeypatch):
    source = pathlib.Path(__file__).parent / "earlier_runs" / "finetuned"
    shutil.copytree(source, tmp_path / "teacher")
    flags = [*tiny.NETWORK, f"--dataset={tiny.write_npz(tmp_path)}"]
    flags += ["--train_batch_size=8", "--labels_per_class=2"]
    flags += [f"--teacher={tmp_path}/teacher", "--distillation_alpha=0.5"]
    flags += ["--mode=distill", f"--model_dir={tmp_path}/student"]
    tasks = []
    monkeypatch.setattr(
        StageContext, "run", lambda context, task, *_: tasks.append(task)
    )
    distill(run.parse_config(["run.py", *flags]))
    task = tasks[0]
    assert task.shares == {
        "supervised_acc": LABELLED,
        "supervised_loss": LABELLED,
    }
    # A batch of all images: their labelled ones weigh 1 together.
    labels = tf.constant(task.batches.images.labels)
    prepared = task.objective.prepare({"label": labels})
    assert int(tf.math.count_nonzero(labels >= 0)) == 6
    assert np.isclose(float(tf.reduce_sum(prepared["label_share"])), 1)
