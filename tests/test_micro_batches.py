"""Micro-batches: gradients, metrics and statistics are those of the batch."""

import dataclasses
import functools
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny
from tiny_network import tiny_network

from tf_simclr.config import AugmentConfig, DataConfig, ObjectiveConfig
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.losses.classification import (
    LABELLED,
    distillation_loss,
    supervised_loss,
)
from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.modes.contrastive import contrastive_objective
from tf_simclr.modes.memory import ContrastMemory
from tf_simclr.modes.supervised_task import classification_objective
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


def contrastive(net, memory=None):
    objective, _ = contrastive_objective(
        net, ObjectiveConfig(temperature=0.5), kernels(net), 0.01, memory
    )
    return objective


def kernels(net) -> list[tf.Variable]:
    return [v for v in net.trainable_variables if len(v.shape) > 1]


def distilling(net, teacher):
    def losses(batch, rows):
        return {
            "distillation_loss": 0.7
            * distillation_loss(
                rows["teacher_logits"],
                rows["logits"],
                1.0,
                False,
                batch["share"],
            ),
            "supervised_loss": 0.3
            * supervised_loss(
                batch["label"], rows["logits"], batch["label_share"]
            ),
        }

    def references(batch):
        logits = teacher(batch["image"], training=False).logits
        return {"teacher_logits": logits}

    return classification_objective(net, losses, kernels(net), 0.01, references)


def both_ways(whole_objective, part_objective, net, batch):
    """Gradients and metrics of the whole batch, and of its parts."""
    trainable = net.trainable_variables
    if not whole_objective.compares_images:
        # What the classifier does not read has no gradient.
        trainable = [v for v in trainable if v.ref() not in refs(net.head)]
    whole = tf.function(
        replica_gradients(whole_objective, trainable), autograph=False
    )
    gradients, metrics = whole(batch)
    parts = MicroBatches(
        part_objective,
        trainable,
        lambda: 1.0,
        dict,
        PARTS,
        list(metrics),
        lambda function, arguments: function(*arguments),
    )
    return (gradients, metrics), run(parts, batch)


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


@pytest.mark.parametrize("kind", ["contrastive", "memory", "distillation"])
def test_parts_give_the_gradients_of_the_whole(kind):
    net = network(frozen=True)
    batch = pair()
    if kind == "contrastive":
        objectives = [contrastive(net)] * 2
    elif kind == "memory":
        # Each way fills a queue of its own.
        strategy = tf.distribute.get_strategy()
        objectives = [
            contrastive(
                net,
                ContrastMemory(
                    net, network(frozen=True), 20, 0.9, True, strategy
                ),
            )
            for _ in range(2)
        ]
    else:
        objectives = [distilling(net, network(1))] * 2
        batch = {"image": batch["view1"], "label": batch["label"]}
    (expected, metrics), (found, other) = both_ways(*objectives, net, batch)
    assert_equal(expected, found)
    assert set(metrics) == set(other)
    for name, value in metrics.items():
        assert np.isclose(float(value), float(other[name]), rtol=1e-5), name


def test_batch_norm_sees_a_part_at_a_time_and_moves_once():
    parted, looped = network(), network()
    parts = MicroBatches(
        contrastive(parted),
        parted.trainable_variables,
        lambda: 1.0,
        dict,
        PARTS,
        (),
        lambda function, arguments: function(*arguments),
    )
    found, _ = run(parts, pair())

    # The same by hand: every part forward in training, once, in order.
    objective = contrastive(looped)

    @functools.partial(tf.function, autograph=False)
    def by_hand(batch):
        with tf.GradientTape() as tape:
            rows = [
                objective.forward({n: v[part] for n, v in batch.items()})
                for part in range(PARTS)
            ]
            joined = {
                name: tf.concat([row[name] for row in rows], axis=0)
                for name in rows[0]
            }
            loss, metrics = objective.loss(pair(), joined)
            loss, _ = objective.with_decay(loss, metrics)
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


def task_of(net, passes: int = 1, loss_scale: LossScale | None = None) -> Task:
    objective, names = contrastive_objective(
        net, ObjectiveConfig(temperature=0.5), [], 0.0
    )
    return Task(
        name="test",
        network=net,
        trainable=net.trainable_variables,
        optimizer=keras.optimizers.SGD(10.0),
        objective=objective,
        metric_names=names,
        summary=lambda metrics: [],
        batches=types.SimpleNamespace(views=dict),
        batch_size=IMAGES,
        passes=passes,
        loss_scale=loss_scale,
    )


def test_two_replicas_in_parts_learn_what_one_does_at_once(two_replicas):
    # Replicas form means over their own labelled images: as many on each.
    batch = pair([0, 1, 0, -1, -1, 1, 0, 0])
    one = network(frozen=True)
    alone = tf.distribute.get_strategy()
    tf.function(make_global_step(task_of(one), alone), autograph=False)(batch)

    with two_replicas.scope():
        two = network(frozen=True, synchronized=True, recompute=True)
        task = task_of(two, passes=2, loss_scale=LossScale())
        task.optimizer.build(task.trainable)
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
            batches, IMAGES, strategy, [(2, 4)], passes=passes
        )
        found.append([next(iterator) for _ in range(2)])
    for whole, parts in zip(*found, strict=True):
        for name, value in cut(whole).items():
            assert np.array_equal(value, parts[name])


def test_a_variable_out_of_reach_is_named():
    net = network()
    objective = distilling(net, network(1))
    parts = MicroBatches(
        dataclasses.replace(objective, decay=lambda: tf.constant(0.0)),
        net.trainable_variables,
        lambda: 1.0,
        dict,
        PARTS,
        (
            "distillation_loss",
            "supervised_loss",
            "supervised_acc",
            LABELLED,
        ),
        lambda function, arguments: function(*arguments),
    )
    batch = {"image": images(1), "label": tf.constant(LABELS)}
    with pytest.raises(ValueError, match="does not reach these variables"):
        run(parts, batch)
