"""One training step on every replica, and many of them in one call."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.data.batches import Batch, TrainingBatches
from tf_simclr.methods.base import Method, Metrics
from tf_simclr.metrics import (
    COUNTED_GRADIENT_NORM,
    GRADIENT_NORM,
    LOSS_SCALE,
    SKIPPED_UPDATES,
    TAKEN_UPDATES,
    Metric,
)
from tf_simclr.training.metric_sums import MetricSums, count_step
from tf_simclr.training.micro_batches import MicroBatches
from tf_simclr.training.step_probe import StepProbe
from tf_simclr.training.update import (
    Gradients,
    LossScale,
    Views,
    apply_gradients,
    make_update,
    measured_gradients,
    replica_gradients,
)
from tf_simclr.training.weight_average import WeightAverage


@dataclasses.dataclass(frozen=True)
class Task:
    """A method, and how a run computes its steps.

    Attributes:
      method: what is trained.
      batches: the training data.
      batch_size: images per step, over all replicas.
      num_micro_batches: in how many parts a replica takes its share of them.
      loss_scale: scales the loss, as float16 needs; None: not scaled.
      probe: looks into a step now and then.
      state: what belongs into a checkpoint besides what the method has there.
      average: of the weights, if it takes their place in scores and files.
    """

    method: Method
    batches: TrainingBatches
    batch_size: int
    num_micro_batches: int = 1
    loss_scale: LossScale | None = None
    probe: StepProbe | None = None
    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    average: WeightAverage | None = None

    def exchanged(self) -> contextlib.AbstractContextManager:
        """Within it the network holds its weights instead of their averages,
        where it shows these; within that, the averages again."""
        if self.average is None:
            return contextlib.nullcontext()
        return self.average.exchanged()

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Metrics of a step."""
        measured = self.method.measured
        if self.loss_scale is None:
            return (*measured, GRADIENT_NORM)
        scaling = (LOSS_SCALE, SKIPPED_UPDATES, TAKEN_UPDATES)
        return (*measured, *scaling, COUNTED_GRADIENT_NORM)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of `metrics`."""
        return tuple(metric.name for metric in self.metrics)


def make_replica_step(
    method: Method,
    replicas: int = 1,
    views: Views = dict,
    probe: StepProbe | None = None,
) -> Callable[[Batch], Metrics]:
    """A function that updates a method's variables by one replica's batch.

    Raises (when it is traced):
      ValueError: the loss does not reach a variable.
    """
    # Gradients are summed over the replicas.
    compute = replica_gradients(method, lambda: 1.0 / replicas, views, probe)

    def replica_step(batch: Batch) -> Metrics:
        gradients, metrics = compute(batch)
        gradients, norm = measured_gradients(gradients, None, probe)
        apply_gradients(method, gradients)
        return {**metrics, GRADIENT_NORM.name: norm}

    return replica_step


def make_global_step(
    task: Task, strategy: tf.distribute.Strategy, compiled: bool = False
) -> Callable[[Batch], Metrics]:
    """A function that takes one step on all replicas.

    Args:
      task: what is trained.
      strategy: the devices.
      compiled: whether XLA compiles what runs on a replica.

    Returns:
      A function of a distributed batch, to be called across the replicas.
    """

    def on_replicas(function: Callable, args: tuple) -> Any:
        # Nothing that a replica runs needs AutoGraph, whose reading of every
        # layer's source takes longer than tracing does.
        function = tf.autograph.experimental.do_not_convert(function)
        if compiled:
            function = tf.function(function, jit_compile=True, autograph=False)
        return strategy.run(function, args=args)

    def made(batch: Batch) -> Batch:
        """The batch's views where XLA, which knows no operation that sorts
        images by what happens to them, cannot make them within the step."""
        if not compiled:
            return batch
        function = tf.autograph.experimental.do_not_convert(task.batches.views)
        return strategy.run(function, args=(batch,))

    views = dict if compiled else task.batches.views
    replicas = strategy.num_replicas_in_sync
    if task.num_micro_batches == 1 and task.loss_scale is None:
        # In one function, which XLA sees as a whole.
        step = make_replica_step(task.method, replicas, views, task.probe)
        return lambda batch: on_replicas(step, (made(batch),))

    def scale() -> tf.Tensor | float:
        return (task.loss_scale.factor if task.loss_scale else 1.0) / replicas

    if task.num_micro_batches > 1:
        compute = MicroBatches(
            task.method,
            scale,
            views,
            task.num_micro_batches,
            on_replicas,
            task.probe,
        )
    else:
        whole = replica_gradients(task.method, scale, views, task.probe)

        def compute(batch: Batch) -> tuple[Gradients, Metrics]:
            return on_replicas(whole, (batch,))

    update = make_update(
        task.method, task.loss_scale, strategy, on_replicas, task.probe
    )

    def step(batch: Batch) -> Metrics:
        gradients, metrics = compute(made(batch))
        return {**metrics, **update(gradients)}

    return step


def make_step_function(
    task: Task, strategy: tf.distribute.Strategy, config: TrainConfig
) -> Callable:
    """A function (iterator, count, sums) -> (sums, seconds waited).

    It takes `count` steps within one graph and adds up their metrics.
    """
    step = make_global_step(task, strategy, config.jit_compile)
    names = task.metric_names
    # Nothing for AutoGraph, as in a step.
    after_step = tf.autograph.experimental.do_not_convert(
        task.method.after_step
    )

    @tf.function(reduce_retracing=True)
    def run_steps(
        iterator: tf.data.Iterator,
        count: tf.Tensor,
        sums: MetricSums,
    ) -> tuple[MetricSums, tf.Tensor]:
        waited = tf.constant(0.0, tf.float64)
        for _ in tf.range(count):
            if config.deterministic:
                # TensorFlow refuses to read the clock then.
                batch, clock = next(iterator), []
            else:
                batch, started, ended = _timed_next(iterator, strategy, sums)
                waited += ended - started
                clock = [ended]
            # A single core would read the clock when the step has ended.
            with tf.control_dependencies(clock):
                metrics = step(batch)
            after_step()
            if task.average is not None:
                task.average.update()
            means = [
                strategy.reduce(
                    tf.distribute.ReduceOp.MEAN, metrics[name], axis=None
                )
                for name in names
            ]
            sums = count_step(sums, tf.stack(means))
        return sums, waited

    return run_steps


def _timed_next(
    iterator: tf.data.Iterator,
    strategy: tf.distribute.Strategy,
    previous: MetricSums,
) -> tuple[Batch, tf.Tensor, tf.Tensor]:
    """The next batch, and the times in between which the step waited for it."""
    # The wait begins when the previous step has ended.
    with tf.control_dependencies([previous.sums]):
        started = tf.timestamp()
    with tf.control_dependencies([started]):
        batch = next(iterator)
    arrived = tf.nest.flatten(strategy.experimental_local_results(batch))
    with tf.control_dependencies(arrived):
        return batch, started, tf.timestamp()
