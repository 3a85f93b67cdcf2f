"""Consistency training: its batches, its labels, its averages."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny
from small_job import small_job

from tf_simclr.config import ModelConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.methods.base import whole_loss
from tf_simclr.methods.fixmatch import FixMatch
from tf_simclr.models.network import Architecture, Classifier
from tf_simclr.modes.execute import make_task, run_stage
from tf_simclr.modes.prepare import prepare

pytestmark = pytest.mark.usefixtures("one_block")
LABELS = np.array([0, -1, -1, -1, 2, -1, -1, -1], np.int32)


class Linear(keras.Model):
    """A classifier of images of four numbers."""

    def __init__(self):
        super().__init__()
        self.architecture = Architecture.for_pretraining(ModelConfig(), 8, 3)
        self.classifier = Classifier(3)
        self(tf.zeros([1, 2, 2, 1]))
        rng = np.random.default_rng(0)
        for variable in self.variables:
            variable.assign(rng.normal(size=variable.shape))

    def call(self, images, training=False):
        logits = self.classifier(tf.reshape(images, [-1, 4]))
        return types.SimpleNamespace(logits=logits)


class OnLinear(FixMatch):
    """Of a network that has no encoder to freeze."""

    def build(self, job):
        return job.build(None)


def method_of(**consistency) -> FixMatch:
    options = {"unlabeled_ratio": 3, **consistency}
    job = small_job(
        Linear(),
        stage="finetune",
        labels=LABELS,
        optimizer={"weight_decay": 0.0},
        consistency=options,
    )
    return OnLinear(job)


def batch() -> dict[str, np.ndarray]:
    weak, strong = np.random.default_rng(1).normal(size=(2, 8, 2, 2, 1))
    return {
        "image": weak.astype("float32"),
        "strong": strong.astype("float32"),
        "label": LABELS,
    }


def softmax(network, images):
    logits = network(images).logits.numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_the_loss_is_the_written_formula(weight):
    method, made = (
        method_of(confidence=0.7, unlabeled_weight=weight),
        batch(),
    )
    loss, metrics, _ = whole_loss(method, made)
    weak = softmax(method.network, made["image"])
    strong = softmax(method.network, made["strong"])
    known = LABELS >= 0
    supervised = -np.mean(np.log(weak[known, LABELS[known]]))
    sure = ~known & (weak.max(axis=1) >= 0.7)
    assert 0 < sure.sum() < 6
    losses = -np.log(strong[np.arange(8), weak.argmax(axis=1)])
    consistency = weight * np.sum(losses[sure]) / 6
    np.testing.assert_allclose(loss, supervised + consistency, rtol=1e-5)
    assert np.isclose(metrics["consistency_loss"], consistency, rtol=1e-5)
    assert np.isclose(metrics["sure_images"], sure.sum() / 6)
    assert np.isclose(metrics["confidence_threshold"], 0.7)
    assert metrics["labelled_images"] == 2
    assert "fairness_loss" not in metrics


def test_no_gradient_reaches_the_labels_that_it_gives():
    method, made = method_of(confidence=0.0), batch()
    with tf.GradientTape() as tape:
        loss, _, _ = whole_loss(method, made)
    found = tape.gradient(loss, method.trainable)
    weak = softmax(method.network, made["image"])
    fixed = np.where(LABELS >= 0, LABELS, weak.argmax(axis=1))
    views = np.where(
        (LABELS >= 0)[:, None, None, None], made["image"], made["strong"]
    )
    counted = np.where(LABELS >= 0, 1 / 2, 1 / 6)
    with tf.GradientTape() as tape:
        logits = method.network(views).logits
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(fixed, logits)
        expected = tf.reduce_sum(losses * counted.astype("float32"))
    for one, other in zip(
        found, tape.gradient(expected, method.trainable), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_averages_follow_the_batches_and_decide_who_is_sure():
    method = method_of(confidence_rule="adaptive", fairness_weight=0.5)
    made, averages = batch(), method.state["class_averages"]
    level, likely, histogram = 1 / 3, np.full(3, 1 / 3), np.full(3, 1 / 3)
    weak = softmax(method.network, made["image"])
    others = weak[LABELS < 0]
    for _ in range(2):
        _, metrics, _ = whole_loss(method, made)
        level = 0.999 * level + 0.001 * others.max(axis=1).mean()
        likely = 0.999 * likely + 0.001 * others.mean(axis=0)
        counts = np.bincount(others.argmax(axis=1), minlength=3) / 6
        histogram = 0.999 * histogram + 0.001 * counts
    np.testing.assert_allclose(averages.level, level, rtol=1e-5)
    np.testing.assert_allclose(averages.likely, likely, rtol=1e-5)
    np.testing.assert_allclose(averages.histogram, histogram, rtol=1e-5)
    thresholds = level * likely / likely.max()
    sure = others.max(axis=1) >= thresholds[others.argmax(axis=1)]
    assert np.isclose(metrics["sure_images"], sure.mean())
    threshold = metrics["confidence_threshold"]
    np.testing.assert_allclose(threshold, thresholds.mean(), rtol=1e-5)
    assert metrics["fairness_loss"] < 0


@pytest.mark.parametrize("rule", ["uniform", "labels"])
def test_aligned_classes_are_those_that_images_learn(rule):
    method = method_of(confidence=0.0, align_distribution=rule)
    made = batch()
    averages = method.state["class_averages"]
    averages.likely.assign([0.98, 0.01, 0.01])
    outputs = {**method.forward(made), **method.targets(made)}
    prepared = method.prepare(made)
    labels = method._labels(prepared, outputs["weak_logits"])
    wanted = np.full(3, 1 / 3) if rule == "uniform" else [0.5, 0, 0.5]
    weak = softmax(method.network, made["image"])
    expected = (weak * wanted / averages.likely.numpy()).argmax(axis=1)
    assert labels.classes.numpy().tolist() == expected.tolist()


def config(folder, text: str):
    words = [*tiny.FLAGS, f"--dataset={tiny.write_npz(folder)}", text]
    flags = parse_overrides(" ".join(words), "flags")
    flags |= {"mode": "finetune", "method": "fixmatch", "from_scratch": True}
    return from_flat({**flags, "model_dir": str(folder / "run")})


def test_batches_hold_both_kinds_in_weak_and_strong_views(tmp_path):
    text = "--labels_per_class=2 --unlabeled_ratio=3 --train_batch_size=8"
    text += " --color_jitter_strength=1 --weak_crop_min_area=1"
    text += " --flip_probability=0 --image_size=8"
    method, job = prepare(config(tmp_path, text))
    method = method(job)
    batches = make_task(job, method).batches
    seen = []
    pixels = job.splits.train.pixels.array / np.float32(255)
    for made in batches.dataset(8, 0, 9).as_numpy_iterator():
        known = made["label"] >= 0
        assert known.tolist() == ([True] + [False] * 3) * 2
        seen += made["label"][known].tolist()
        # Weak views are the images here, strong ones are not.
        for view, place in zip(made["image"], made["index"], strict=True):
            np.testing.assert_allclose(view, pixels[place], atol=1e-6)
        different = np.abs(made["image"] - made["strong"]).max(axis=(1, 2, 3))
        # But for one that nothing happened to.
        assert np.mean(different > 0.01) > 0.7
    # All six of them, three times.
    assert np.bincount(seen).tolist() == [6, 6, 6]


def test_it_needs_images_of_both_kinds(tmp_path):
    with pytest.raises(UserError, match="all 24 training images have one"):
        run_stage(config(tmp_path, "--labels_per_class=8"))


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "--color_jitter_strength=0.5",
            "on fine-tuning without --method=fixma",
        ),
        ("--unlabeled_ratio=3", "has no effect without --method=fixmatch"),
        (
            "--method=fixmatch --fairness_weight=1",
            "without --method=fixmatch --confidence_rule=adaptive",
        ),
    ],
)
def test_flags_that_nothing_reads_are_refused(tmp_path, text, told):
    flags = parse_overrides(text, "flags") | {"mode": "finetune"}
    flags |= {"model_dir": str(tmp_path / "run"), "from_scratch": True}
    with pytest.raises(UserError, match=told):
        from_flat(flags).check()


def test_a_run_tells_what_it_is_sure_of(tmp_path, capsys):
    text = "--labels_per_class=2 --unlabeled_ratio=3 --confidence=0"
    result = run_stage(config(tmp_path, f"{text} --train_steps=2"))
    assert 0 <= result["eval/label_top_1_accuracy"] <= 1
    said = capsys.readouterr().out
    assert "6 labels, and 3 times as many images without one" in said
    assert "sure of 100%" in said
