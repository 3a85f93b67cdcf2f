"""One training step on every replica, and many of them in one call."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.train import TrainConfig
from tf_simclr.data.batches import Batch, TrainingBatches

Metrics = dict[str, tf.Tensor]
Objective = Callable[[Batch], tuple[tf.Tensor, Metrics]]


@dataclasses.dataclass(frozen=True)
class Task:
    """What a stage hands to the loop.

    Attributes:
      name: title of the progress lines.
      network: the network, all variables built.
      trainable: the variables that the loss reaches and that are updated.
      optimizer: updates them.
      objective: batch -> (loss, {metric: scalar}), called on one replica.
      metric_names: the metrics that `objective` returns.
      summary: metrics -> the facts of a progress line.
      batches: the training data.
      batch_size: images per step, over all replicas.
      after_step: called after each step's update, across the replicas.
      state: what else belongs into a checkpoint, by name.
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


def make_replica_step(
    objective: Objective,
    trainable: Sequence[tf.Variable],
    optimizer: keras.optimizers.Optimizer,
    replicas: int = 1,
) -> Callable[[Batch], Metrics]:
    """A function that updates `trainable` by one batch of one replica.

    Raises (when it is traced):
      ValueError: the loss does not reach a variable.
    """

    def replica_step(batch: Batch) -> Metrics:
        with tf.GradientTape() as tape:
            loss, metrics = objective(batch)
            # Gradients are summed over the replicas.
            scaled = loss / replicas
        gradients = tape.gradient(scaled, trainable)
        missing = [
            variable.name
            for variable, gradient in zip(trainable, gradients, strict=True)
            if gradient is None
        ]
        if missing:
            raise ValueError(
                "The loss does not reach these variables; leave them out of"
                f" Task.trainable. Received: {missing}"
            )
        optimizer.apply_gradients(zip(gradients, trainable, strict=True))
        return metrics

    return replica_step


def make_step_function(
    task: Task, strategy: tf.distribute.Strategy, config: TrainConfig
) -> Callable:
    """A function (iterator, count, sums) -> (sums, seconds waited).

    It takes `count` steps within one graph and adds their metrics to `sums`.
    """
    replica_step = make_replica_step(
        task.objective,
        task.trainable,
        task.optimizer,
        strategy.num_replicas_in_sync,
    )
    if config.jit_compile:
        replica_step = tf.function(replica_step, jit_compile=True)

    def make_views_and_step(batch: Batch) -> Metrics:
        # XLA knows no operation that sorts images by what happens to them.
        return replica_step(task.batches.views(batch))

    @tf.function(reduce_retracing=True)
    def run_steps(
        iterator: tf.data.Iterator,
        count: tf.Tensor,
        sums: dict[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        waited = tf.constant(0.0, tf.float64)
        for _ in tf.range(count):
            if config.deterministic:
                # TensorFlow refuses to read the clock then.
                batch = next(iterator)
            else:
                batch, seconds = _timed_next(iterator, strategy, sums)
                waited += seconds
            metrics = strategy.run(make_views_and_step, args=(batch,))
            if task.after_step is not None:
                task.after_step()
            sums = {
                name: sums[name]
                + strategy.reduce(
                    tf.distribute.ReduceOp.MEAN, metrics[name], axis=None
                )
                for name in task.metric_names
            }
        return sums, waited

    return run_steps


def _timed_next(
    iterator: tf.data.Iterator,
    strategy: tf.distribute.Strategy,
    previous: dict[str, tf.Tensor],
) -> tuple[Batch, tf.Tensor]:
    """The next batch, and the seconds that the step waited for it."""
    # The wait begins when the previous step has ended.
    with tf.control_dependencies(list(previous.values())):
        started = tf.timestamp()
    with tf.control_dependencies([started]):
        batch = next(iterator)
    arrived = tf.nest.flatten(strategy.experimental_local_results(batch))
    with tf.control_dependencies(arrived):
        return batch, tf.timestamp() - started
