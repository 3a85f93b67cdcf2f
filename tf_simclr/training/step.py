"""One training step on every replica, and many of them in one call."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.train import TrainConfig
from tf_simclr.data.batches import Batch, TrainingBatches
from tf_simclr.training.micro_batches import MicroBatches
from tf_simclr.training.objective import Metrics, Objective
from tf_simclr.training.running import Running, count_step
from tf_simclr.training.step_probe import StepProbe
from tf_simclr.training.update import (
    GRADIENT_NORM,
    SCALING_METRICS,
    Gradients,
    LossScale,
    Views,
    make_update,
    over_replicas,
    replica_gradients,
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a stage hands to the loop.

    Attributes:
      name: title of the progress lines.
      network: the network, all variables built.
      trainable: the variables that the loss reaches and that are updated.
      optimizer: updates them.
      objective: batch -> (loss, {metric: scalar}), called on one replica.
      metric_names: the metrics that a step returns.
      summary: metrics -> the facts of a progress line.
      batches: the training data.
      batch_size: images per step, over all replicas.
      after_step: called after each step's update, across the replicas.
      state: what else belongs into a checkpoint, by name.
      passes: in how many parts a replica takes its share of a batch.
      loss_scale: scales the loss, as float16 needs; None: not scaled.
      shares: {metric: the one that counts it}; see `running.means`.
      chance: what a network that knows nothing scores, by metric.
      probe: looks at the gradients now and then.
    """

    name: str
    network: keras.Model
    trainable: Sequence[tf.Variable]
    optimizer: keras.optimizers.Optimizer
    objective: Objective
    metric_names: tuple[str, ...]
    summary: Callable[[dict[str, float]], list[str]]
    batches: TrainingBatches
    batch_size: int
    after_step: Callable[[], None] | None = None
    state: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    passes: int = 1
    loss_scale: LossScale | None = None
    shares: Mapping[str, str] = dataclasses.field(default_factory=dict)
    chance: Mapping[str, float] = dataclasses.field(default_factory=dict)
    probe: StepProbe | None = None


def make_replica_step(
    objective: Objective,
    trainable: Sequence[tf.Variable],
    optimizer: keras.optimizers.Optimizer,
    replicas: int = 1,
    views: Views = dict,
    probe: StepProbe | None = None,
) -> Callable[[Batch], Metrics]:
    """A function that updates `trainable` by one batch of one replica.

    Raises (when it is traced):
      ValueError: the loss does not reach a variable.
    """
    # Gradients are summed over the replicas.
    compute = replica_gradients(
        objective, trainable, lambda: 1.0 / replicas, views
    )

    def replica_step(batch: Batch) -> Metrics:
        gradients, metrics = compute(batch)
        gradients = over_replicas(gradients)
        if probe is not None:
            probe.look_at(gradients)
        optimizer.apply_gradients(
            zip(gradients, trainable, strict=True),
            experimental_aggregate_gradients=False,
        )
        return {**metrics, GRADIENT_NORM: tf.linalg.global_norm(gradients)}

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
    if task.passes == 1 and task.loss_scale is None:
        # In one function, which XLA sees as a whole.
        step = make_replica_step(
            task.objective,
            task.trainable,
            task.optimizer,
            replicas,
            views,
            task.probe,
        )
        return lambda batch: on_replicas(step, (made(batch),))

    def scale() -> tf.Tensor | float:
        return (task.loss_scale.factor if task.loss_scale else 1.0) / replicas

    if task.passes > 1:
        compute = MicroBatches(
            task.objective,
            task.trainable,
            scale,
            views,
            task.passes,
            [n for n in task.metric_names if n not in SCALING_METRICS],
            on_replicas,
        )
    else:
        whole = replica_gradients(task.objective, task.trainable, scale, views)

        def compute(batch: Batch) -> tuple[Gradients, Metrics]:
            return on_replicas(whole, (batch,))

    update = make_update(
        task.optimizer,
        task.trainable,
        task.loss_scale,
        strategy,
        on_replicas,
        task.probe,
    )

    def step(batch: Batch) -> Metrics:
        gradients, metrics = compute(made(batch))
        return {**metrics, **update(gradients)}

    return step


def make_step_function(
    task: Task, strategy: tf.distribute.Strategy, config: TrainConfig
) -> Callable:
    """A function (iterator, count, running) -> (running, seconds waited).

    It takes `count` steps within one graph and counts their metrics: the
    task's and then the gradient's norm.
    """
    step = make_global_step(task, strategy, config.jit_compile)
    names = (*task.metric_names, GRADIENT_NORM)

    @tf.function(reduce_retracing=True)
    def run_steps(
        iterator: tf.data.Iterator,
        count: tf.Tensor,
        running: Running,
    ) -> tuple[Running, tf.Tensor]:
        waited = tf.constant(0.0, tf.float64)
        for _ in tf.range(count):
            if config.deterministic:
                # TensorFlow refuses to read the clock then.
                batch, clock = next(iterator), []
            else:
                batch, started, ended = _timed_next(iterator, strategy, running)
                waited += ended - started
                clock = [ended]
            # A single core would read the clock when the step has ended.
            with tf.control_dependencies(clock):
                metrics = step(batch)
            if task.after_step is not None:
                task.after_step()
            means = [
                strategy.reduce(
                    tf.distribute.ReduceOp.MEAN, metrics[name], axis=None
                )
                for name in names
            ]
            running = count_step(running, tf.stack(means))
        return running, waited

    return run_steps


def _timed_next(
    iterator: tf.data.Iterator,
    strategy: tf.distribute.Strategy,
    previous: Running,
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
