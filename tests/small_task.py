"""A training task of three weights, whose batches carry their numbers.

It runs the real loop in a second, so that each fault can be tried out.
"""

import contextlib
import dataclasses
import json
import pathlib

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config import TrainConfig
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training import loop
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.step import Task
from tf_simclr.training.update import SCALING_METRICS, SCALING_SHARES, LossScale

STEPS_PER_EPOCH = 4
BATCH = 2


class Batches:
    """Batch number b is full of b / 100, or of NaN where it is poisoned."""

    images = range(STEPS_PER_EPOCH * BATCH)
    contrastive = False

    def __init__(self, poisoned=(), replace=None):
        self._poisoned = tf.constant([-1, *poisoned], tf.int64)
        self._replace = replace or (lambda dataset: dataset)

    views = staticmethod(dict)

    def dataset(self, batch_size, start_step, stop_step, *_, **__):
        def load(number):
            value = tf.cast(number, tf.float32) / 100.0
            poisoned = tf.reduce_any(number == self._poisoned)
            value = tf.where(poisoned, float("nan"), value)
            return {"image": tf.fill([batch_size, 1, 1, 3], value)}

        numbers = tf.data.Dataset.range(start_step, stop_step)
        return self._replace(numbers.map(load))


def small_task(plan: SchedulePlan, batches: Batches) -> Task:
    """Learns to answer 1; the metric `batch` is the number of the batch."""
    network = keras.Sequential(
        [keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)]
    )
    network.build([None, 3])

    def objective(batch):
        image = batch["image"][:, 0, 0, :]
        loss = tf.reduce_mean((network(image + 1.0) - 1.0) ** 2)
        return loss, {
            "total_loss": loss,
            "batch": tf.reduce_mean(image) * 100.0,
        }

    schedule = plan.schedule()
    return Task(
        name="small",
        network=network,
        trainable=network.trainable_variables,
        optimizer=keras.optimizers.SGD(schedule, momentum=0.9),
        objective=objective,
        metric_names=("total_loss", "batch"),
        summary=lambda metrics: [f"loss {metrics['total_loss']:.4f}"],
        batches=batches,
        batch_size=BATCH,
    )


def scaled_task(task: Task, factor: float, overflowing) -> Task:
    """The task with a scaled loss; the gradients of the batches with these
    numbers, and nothing else of them, are not finite."""
    numbers = tf.constant([-1, *overflowing], tf.float32)

    def objective(batch):
        loss, metrics = task.objective(batch)
        found = tf.abs(numbers - metrics["batch"]) < 0.1

        @tf.custom_gradient
        def passed(value):
            slope = tf.where(tf.reduce_any(found), float("inf"), 1.0)
            return tf.identity(value), lambda upstream: upstream * slope

        return passed(loss), metrics

    scale = LossScale()
    scale.factor.assign(factor)
    return dataclasses.replace(
        task,
        objective=objective,
        loss_scale=scale,
        metric_names=task.metric_names + SCALING_METRICS,
        shares=SCALING_SHARES,
        state={"loss_scale": scale},
    )


def train(
    folder: pathlib.Path,
    *,
    steps: int = 12,
    rate: float = 0.01,
    batches: Batches | None = None,
    evaluator=None,
    strategy: tf.distribute.Strategy | None = None,
    factor: float = 0.0,
    overflowing=(),
    **flags,
) -> list[float]:
    """Trains in `folder`, with a scaled loss if there is a factor; returns the
    weights that it ends with."""
    flags = {"checkpoint_steps": 2, "log_every_steps": 3, **flags}
    folder.mkdir(parents=True, exist_ok=True)
    plan = SchedulePlan(rate, "", 1, steps)
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        task = small_task(plan, batches or Batches())
        if factor:
            task = scaled_task(task, factor, overflowing)
    loop.train(
        task,
        plan,
        TrainConfig(train_steps=steps, **flags),
        RunDirectory(str(folder)),
        strategy,
        evaluator,
    )
    return task.network.weights[0].numpy().ravel().tolist()


@contextlib.contextmanager
def at_step(monkeypatch, step: int, act):
    """Calls `act` once, when the loop has done all that is due at `step`."""
    after_steps = loop._Training._after_steps
    acted = []

    def patched(self):
        after_steps(self)
        if self._step == step and not acted:
            acted.append(step)
            act()

    with monkeypatch.context() as patches:
        # One step per call, so that no step is passed over.
        patches.setattr(loop, "_CHUNK_SECONDS", 0.0)
        patches.setattr(loop._Training, "_after_steps", patched)
        yield


def metrics(folder: pathlib.Path, name: str) -> dict[int, float]:
    """{step: value} of a metric, from `metrics.jsonl`."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return {line["step"]: line[name] for line in found if name in line}


def events(folder: pathlib.Path) -> list[tuple]:
    """(step, tag, value) of all that TensorBoard would show."""
    found = []
    for path in folder.glob("events.out.tfevents.*"):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            found += [
                (event.step, value.tag, value.tensor.SerializeToString())
                for value in event.summary.value
                # Times and memory differ, and each start notes what it is.
                if not value.tag.startswith(
                    ("memory/", "speed/", "_hparams_", "config")
                )
            ]
    return sorted(found)
