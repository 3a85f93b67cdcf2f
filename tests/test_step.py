"""The steps of a graph: how long they wait for their input."""

import time
import types
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.config import TrainConfig
from tf_simclr.metrics import GRADIENT_NORM
from tf_simclr.training import step as step_module
from tf_simclr.training.metric_sums import start_sums

STEPS = 3
SECONDS = 0.1


class Task:
    """Of a step that is given."""

    average = None
    metric_names = ("loss", GRADIENT_NORM.name)
    method = types.SimpleNamespace(after_step=lambda: None)


def slowly(value: tf.Tensor) -> tf.Tensor:
    """The same value, a while later."""

    def sleep(value: np.ndarray) -> np.ndarray:
        time.sleep(SECONDS)
        return value

    later = tf.numpy_function(sleep, [value], tf.float32, stateful=False)
    return tf.ensure_shape(later, value.shape)


def seconds_waited(rows: Callable[[], tf.data.Dataset]) -> float:
    """Waiting time of `STEPS` steps, with a single thread to run operations."""
    with tf.Graph().as_default():
        run_steps = step_module.make_step_function(
            Task(), tf.distribute.get_strategy(), TrainConfig()
        )

        @tf.function(autograph=False)
        def train() -> tf.Tensor:
            sums = start_sums(0, [0.0, 0.0])
            return run_steps(iter(rows()), tf.constant(STEPS), sums)[1]

        config = tf.compat.v1.ConfigProto(
            inter_op_parallelism_threads=1, use_per_session_threads=True
        )
        with tf.compat.v1.Session(config=config) as session:
            return session.run(train())


@pytest.mark.parametrize("slow", ["input", "step"])
def test_a_step_waits_for_its_input_alone(monkeypatch, slow):
    def step(batch):
        loss = tf.reduce_sum(batch)
        if slow == "step":
            loss = slowly(loss)
        return {"loss": loss, GRADIENT_NORM.name: loss}

    def rows() -> tf.data.Dataset:
        # Nothing is made ahead.
        options = tf.data.Options()
        options.autotune.enabled = False
        options.experimental_optimization.apply_default_optimizations = False
        found = tf.data.Dataset.from_tensors(tf.zeros([2])).repeat(STEPS)
        found = found.map(slowly) if slow == "input" else found
        return found.with_options(options)

    monkeypatch.setattr(step_module, "make_global_step", lambda *_: step)
    waited = seconds_waited(rows)
    if slow == "input":
        assert waited >= STEPS * SECONDS
    else:
        # A single thread could read the clock when the step has ended.
        assert waited < STEPS * SECONDS / 2
