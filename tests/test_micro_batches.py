"""Micro-batches: gradients, metrics and statistics are those of the batch."""

import functools
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny
from small_job import small_job
from tiny_network import tiny_network

from tf_simclr.config import AugmentConfig, DataConfig
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.methods.base import Method, with_decay
from tf_simclr.methods.distill import Distillation
from tf_simclr.methods.fixmatch import FixMatch
from tf_simclr.methods.simclr import SimCLR
from tf_simclr.methods.supcon import SupCon
from tf_simclr.methods.vicreg import VICReg
from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.training.distributed_input import distributed_iterator
from tf_simclr.training.micro_batches import MicroBatches
from tf_simclr.training.step import Task, make_global_step
from tf_simclr.training.update import LossScale, replica_gradients

IMAGES, PARTS = 8, 4
# Micro-batches hold one, two or no labelled images.
LABELS = [0, -1, 1, 2, -1, -1, 2, 0]


def network(seed: int = 0, *, frozen: bool = False, **options):
    made = tiny_network(seed, **options)
    for layer in made.submodules:
        if isinstance(layer, BatchNorm):
            # Not as they start, so that a layer in inference mode scales.
            layer.moving_mean.assign_add(0.1 * tf.ones_like(layer.moving_mean))
            layer.trainable = not frozen
    return made


def images(seed: int) -> tf.Tensor:
    return tf.random.stateless_uniform([IMAGES, 8, 8, 3], [seed, 0])


# Kernels decay through the loss.
DECAYING = {"optimizer": "momentum", "weight_decay": 0.01}


def pretraining(net, *averages, method=SimCLR, **objective) -> Method:
    job = small_job(
        net,
        *averages,
        labels=LABELS,
        objective={"temperature": 0.5, **objective},
        optimizer=DECAYING,
    )
    return method(job)


def distilling(net, teacher, weight_decay: float = 0.01, **objective) -> Method:
    job = small_job(
        net,
        network(),
        stage="distill",
        labels=LABELS,
        teacher=teacher,
        objective={"distillation_alpha": 0.7, **objective},
        optimizer={**DECAYING, "weight_decay": weight_decay},
    )
    return Distillation(job)


def consistent(net, rule: str) -> Method:
    class Consistent(FixMatch):
        def build(self, job):
            return job.build(None)

    job = small_job(
        net,
        stage="finetune",
        labels=LABELS,
        optimizer=DECAYING,
        consistency={
            "unlabeled_ratio": 1,
            "confidence": 0.34,
            "confidence_rule": rule,
            "fairness_weight": 0.3,
            "align_distribution": "labels",
        },
    )
    method = Consistent(job)
    # What the classifier does not read has no gradient.
    head = refs(net.head)
    method.trainable = [v for v in method.trainable if v.ref() not in head]
    return method


def in_parts(method: Method) -> MicroBatches:
    return MicroBatches(
        method,
        lambda: 1.0,
        dict,
        PARTS,
        lambda function, arguments: function(*arguments),
    )


def both_ways(of_whole: Method, of_parts: Method, batch):
    """Gradients and metrics of the whole batch, and of its parts."""
    for method in (of_whole, of_parts):
        if not method.compares_examples:
            # What the classifier does not read has no gradient.
            head = refs(method.network.head)
            method.trainable = [
                v for v in method.trainable if v.ref() not in head
            ]
    whole = tf.function(replica_gradients(of_whole), autograph=False)
    return whole(batch), run(in_parts(of_parts), batch)


def refs(layer) -> set:
    return {variable.ref() for variable in layer.variables}


def run(parts: MicroBatches, batch):
    return tf.function(lambda batch: parts(batch), autograph=False)(cut(batch))


def cut(batch):
    return {
        name: tf.reshape(value, [PARTS, -1, *value.shape[1:]])
        for name, value in batch.items()
    }


def assert_equal(expected, found, tolerance=1e-5):
    largest = max(float(tf.reduce_max(tf.abs(g))) for g in expected)
    for one, other in zip(expected, found, strict=True):
        scale = max(float(tf.reduce_max(tf.abs(one))), 1e-2 * largest)
        assert float(tf.reduce_max(tf.abs(one - other))) < tolerance * scale


def pair(labels=LABELS) -> dict[str, tf.Tensor]:
    return {
        "view1": images(1),
        "view2": images(2),
        "label": tf.constant(labels),
    }


@pytest.mark.parametrize("alike", [False, True])
def test_an_image_in_two_parts_is_not_its_own_negative(alike):
    net = network(frozen=True)
    # Image 1 stands in the first part and, under another name, in the last.
    ids = tf.constant([0, 1, 2, 3, 4, 5, 6, 1], tf.int64)
    batch = {**pair(), "index": ids}
    if alike:
        batch["view1"] = batch["view2"] = tf.ones([IMAGES, 8, 8, 3])
    method = pretraining(net)
    expected, found = both_ways(method, method, batch)
    for name in ("contrast_loss", "contrast_acc", "contrast_entropy"):
        assert np.isclose(expected[1][name], found[1][name], rtol=1e-5), name
    if alike:
        # All logits are equal; anchors of image 1 have two fewer.
        level = (6 * np.log(15) + 2 * np.log(13)) / 8
        assert np.isclose(found[1]["contrast_loss"], level, rtol=1e-5)
    else:
        assert_equal(expected[0], found[0])


@pytest.mark.parametrize(
    "kind",
    [
        *("contrastive", "memory", "supcon", "vicreg"),
        *("distillation", "balanced", "fixmatch", "freematch"),
    ],
)
def test_parts_give_the_gradients_of_the_whole(kind):
    net = network(frozen=True)
    batch = pair()
    if kind == "contrastive":
        methods = [pretraining(net)] * 2
    elif kind == "memory":
        # Each way fills a queue of its own.
        methods = [
            pretraining(
                net, network(frozen=True), memory_size=20, memory_momentum=0.9
            )
            for _ in range(2)
        ]
    elif kind == "supcon":
        # Images 1 and 4 are the same.
        batch["index"] = tf.constant([0, 1, 2, 3, 1, 5, 6, 7], tf.int64)
        methods = [pretraining(net, method=SupCon)] * 2
    elif kind == "vicreg":
        methods = [pretraining(net, method=VICReg)] * 2
    elif kind.endswith("match"):
        rule = "adaptive" if kind == "freematch" else "fixed"
        # Each way has averages of its own.
        methods = [consistent(net, rule) for _ in range(2)]
        batch = {
            "image": batch["view1"],
            "strong": batch["view2"],
            "label": batch["label"],
        }
    else:
        flags = {"class_balance": "loss"} if kind == "balanced" else {}
        methods = [distilling(net, network(1), **flags)] * 2
        batch = {"image": batch["view1"], "label": batch["label"]}
    (expected, metrics), (found, other) = both_ways(*methods, batch)
    assert_equal(expected, found)
    assert set(metrics) == set(other)
    for name, value in metrics.items():
        assert np.isclose(float(value), float(other[name]), rtol=1e-5), name


def test_batch_norm_sees_a_part_at_a_time_and_moves_once():
    parted, looped = network(), network()
    found, _ = run(in_parts(pretraining(parted)), pair())

    # The same by hand: every part forward in training, once, in order.
    method = pretraining(looped)

    @functools.partial(tf.function, autograph=False)
    def by_hand(batch):
        with tf.GradientTape() as tape:
            outputs = [
                method.forward({n: v[part] for n, v in batch.items()})
                for part in range(PARTS)
            ]
            joined = {
                name: tf.concat([part[name] for part in outputs], axis=0)
                for name in outputs[0]
            }
            loss, _ = with_decay(method, *method.loss(pair(), joined))
        return tape.gradient(loss, looped.trainable_variables)

    assert_equal(by_hand(cut(pair())), found)
    for one, other in zip(
        parted.non_trainable_variables,
        looped.non_trainable_variables,
        strict=True,
    ):
        assert np.allclose(one, other, rtol=1e-5, atol=1e-7)
    moved = parted.conv.norm.moving_mean
    assert not np.allclose(moved, 0.1)


def task_of(net, strategy, parts: int = 1, loss_scale=None) -> Task:
    job = small_job(
        net, labels=LABELS, strategy=strategy, objective={"temperature": 0.5}
    )
    method = SimCLR(job)
    method.decayed = []
    with strategy.scope():
        method.optimizer = keras.optimizers.SGD(10.0)
        method.optimizer.build(method.trainable)
    return Task(
        method=method,
        batches=types.SimpleNamespace(views=dict),
        batch_size=IMAGES,
        num_micro_batches=parts,
        loss_scale=loss_scale,
    )


def test_two_replicas_in_parts_learn_what_one_does_at_once(two_replicas):
    # Replicas form means over their own labelled images: as many on each.
    batch = pair([0, 1, 0, -1, -1, 1, 0, 0])
    one = network(frozen=True)
    alone = tf.distribute.get_strategy()
    step = make_global_step(task_of(one, alone), alone)
    tf.function(step, autograph=False)(batch)

    with two_replicas.scope():
        two = network(frozen=True, synchronized=True, recompute=True)
        scale = LossScale()
    task = task_of(two, two_replicas, parts=2, loss_scale=scale)
    halves = [
        {n: tf.reshape(v[part], [2, 2, *v.shape[1:]]) for n, v in batch.items()}
        for part in (slice(0, 4), slice(4, 8))
    ]
    shared = two_replicas.experimental_distribute_values_from_function(
        lambda context: halves[context.replica_id_in_sync_group]
    )
    metrics = tf.function(
        make_global_step(task, two_replicas), autograph=False
    )(shared)
    assert float(metrics["skipped_updates"]) == 0.0
    start = network(frozen=True)
    steps = [
        [
            after - before
            for after, before in zip(
                net.trainable_variables, start.trainable_variables, strict=True
            )
        ]
        for net in (one, two)
    ]
    assert_equal(*steps, tolerance=1e-4)


def test_parts_hold_the_images_of_the_whole(tmp_path):
    config = DataConfig(dataset=tiny.write_npz(tmp_path), image_size=8)
    batches = TrainingBatches(
        open_dataset(config).train, AugmentConfig(), 8, 0, contrastive=True
    )
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    found = []
    for passes in (1, PARTS):
        # From the third step on, as after a resume.
        iterator = distributed_iterator(
            batches, IMAGES, strategy, [(2, 4)], num_micro_batches=passes
        )
        found.append([next(iterator) for _ in range(2)])
    for whole, parts in zip(*found, strict=True):
        for name, value in cut(whole).items():
            assert np.array_equal(value, parts[name])


def test_a_variable_out_of_reach_is_named():
    net = network()
    parts = in_parts(distilling(net, network(1), weight_decay=0.0))
    batch = {"image": images(1), "label": tf.constant(LABELS)}
    with pytest.raises(ValueError, match="does not reach these variables"):
        run(parts, batch)
