"""A training task of three weights, whose batches carry their numbers.

It runs the real loop in a second, so that each fault can be tried out.
"""

import contextlib
import json
import pathlib

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config import TrainConfig
from tf_simclr.evaluation.evaluate import Evaluation
from tf_simclr.methods.base import TOTAL_LOSS, Method
from tf_simclr.metrics import Chart, Metric
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training import loop
from tf_simclr.training.best import USUAL_SELECTION, Selection
from tf_simclr.training.intervals import USUAL_PACE, Pace
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.step import Task
from tf_simclr.training.update import LossScale
from tf_simclr.training.weight_average import WeightAverage

STEPS_PER_EPOCH = 4
BATCH = 2


class Batches:
    """Batch number b is full of b / 100, or of NaN where it is poisoned."""

    images = range(STEPS_PER_EPOCH * BATCH)
    view_names = ("image",)

    def __init__(self, poisoned=(), replace=None):
        self._poisoned = tf.constant([-1, *poisoned], tf.int64)
        self._replace = replace or (lambda dataset: dataset)

    views = staticmethod(dict)

    def sample(self, count, batch_size, steps):
        return next(iter(self.dataset(count, 0, 1)))

    def dataset(self, batch_size, start_step, stop_step, *_, **__):
        def load(number):
            value = tf.cast(number, tf.float32) / 100.0
            poisoned = tf.reduce_any(number == self._poisoned)
            value = tf.where(poisoned, float("nan"), value)
            return {"image": tf.fill([batch_size, 1, 1, 3], value)}

        numbers = tf.data.Dataset.range(start_step, stop_step)
        return self._replace(numbers.map(load))


class SmallMethod(Method):
    """Learns to answer 1; the metric `batch` is the number of the batch.

    Args:
      plan: the learning rate.
      overflowing: the gradients of the batches with these numbers, and
        nothing else of them, are not finite.
    """

    stage = "small"
    metrics = (TOTAL_LOSS, Metric("batch", Chart("", "train/batch")))

    def __init__(self, plan: SchedulePlan, overflowing):
        self.network = keras.Sequential(
            [keras.layers.Dense(1, kernel_initializer="ones", use_bias=False)]
        )
        self.network.build([None, 3])
        self.trainable = self.network.trainable_variables
        schedule = plan.schedule()
        self.optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
        self._overflowing = tf.constant([-1, *overflowing], tf.float32)

    def forward(self, batch):
        return {"answer": self.network(batch["image"][:, 0, 0, :] + 1.0)}

    def loss(self, batch, outputs):
        number = tf.reduce_mean(batch["image"]) * 100.0
        found = tf.reduce_any(tf.abs(self._overflowing - number) < 0.1)

        @tf.custom_gradient
        def passed(value):
            slope = tf.where(found, float("inf"), 1.0)
            return tf.identity(value), lambda upstream: upstream * slope

        loss = tf.reduce_mean((outputs["answer"] - 1.0) ** 2)
        return passed(loss), {"batch": number}

    def decay(self):
        return tf.constant(0.0)


def small_task(
    plan: SchedulePlan,
    batches: Batches,
    factor: float = 0.0,
    overflowing=(),
    weight_ema: float = 0.0,
) -> Task:
    """`SmallMethod`, with a scaled loss if there is a factor."""
    method = SmallMethod(plan, overflowing)
    state, average = {}, None
    scale = None
    if factor:
        scale = LossScale()
        scale.factor.assign(factor)
        state["loss_scale"] = scale
    if weight_ema:
        (weight,) = method.trainable
        strategy = tf.distribute.get_strategy()
        average = WeightAverage({"kernel": weight}, weight_ema, strategy)
        state["weight_ema"] = average.state
    return Task(
        method=method,
        batches=batches,
        batch_size=BATCH,
        loss_scale=scale,
        state=state,
        average=average,
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
    pace: Pace = USUAL_PACE,
    selection: Selection = USUAL_SELECTION,
    **flags,
) -> list[float]:
    """Trains in `folder`, with a scaled loss if there is a factor.

    Args:
      evaluator: returns the scores of a step.
      selection: how they are compared.

    Returns:
      The weights that it ends with.
    """
    flags = {"checkpoint_steps": 2, "log_every_steps": 3, **flags}
    folder.mkdir(parents=True, exist_ok=True)
    plan = SchedulePlan(rate, "", 1, steps)
    strategy = strategy or tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        task = small_task(
            plan,
            batches or Batches(),
            factor,
            overflowing,
            flags.get("weight_ema", 0.0),
        )
    loop.train(
        task,
        plan,
        TrainConfig(train_steps=steps, **flags),
        RunDirectory(str(folder)),
        strategy,
        evaluator and (lambda: Evaluation(evaluator(), None, None)),
        selection=selection,
        pace=pace,
    )
    return task.method.network.weights[0].numpy().ravel().tolist()


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
        patches.setattr(Pace, "next_chunk", lambda *_: 1)
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
