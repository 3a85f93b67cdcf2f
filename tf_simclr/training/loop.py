"""The training loop: it steps, logs, saves and evaluates.

It knows no stage: a `Task` says which batches, which loss and which variables.
"""

import math
import time

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.models.batch_norm import settle_statistics
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.optimizers.schedule import SchedulePlan, WarmupCosine
from tf_simclr.training.checkpoints import Checkpoints
from tf_simclr.training.distributed_input import distributed_iterator
from tf_simclr.training.progress import Progress
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.step import Task, make_step_function
from tf_simclr.training.stop import Interrupted, StopRequest, TrainingFailed
from tf_simclr.training.summaries import write_scalars, write_views
from tf_simclr.training.workers import Workers

# Device time between two looks at the clock, counted in seconds.
_CHUNK_SECONDS = 2.0


def train(
    task: Task,
    plan: SchedulePlan,
    config: TrainConfig,
    run_dir: RunDirectory,
    strategy: tf.distribute.Strategy,
    evaluator: Evaluator | None = None,
    data_service: str | None = None,
) -> int:
    """Trains to `plan.total_steps`, from the latest checkpoint if there is one.

    Args:
      task: see `Task`.
      plan: number of steps and learning rate.
      config: intervals of checkpoints, logs and evaluations.
      run_dir: where files go; the directory exists.
      strategy: devices; `task`'s variables were made in its scope.
      evaluator: called every `--eval_every_epochs`; returns metrics.
      data_service: who makes the batches, see `distributed_iterator`.

    Returns:
      The step that was reached.

    Raises:
      TrainingFailed: the loss is not finite.
      Interrupted: a signal asked to stop; the state is saved.
      WorkerLost: another process of the cluster has gone.
    """
    workers = Workers(strategy)
    with strategy.scope():
        build_slots(task.optimizer, task.trainable)
        checkpoints = Checkpoints(
            run_dir,
            task.network,
            task.optimizer,
            config.keep_checkpoint_max,
            task.state,
        )
        step = checkpoints.restore_latest()
    workers.check_same(step)
    if step >= plan.total_steps:
        return step
    if step:
        print(f"Continuing from step {step}.", flush=True)
    run_dir.cut_metrics_after(step)
    schedule = WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps)
    steps_per_epoch = len(task.batches.images) / task.batch_size
    events = _Events(config, plan.total_steps, steps_per_epoch)
    progress = Progress(task.name, plan.total_steps, task.batch_size, step)
    writer = tf.summary.create_file_writer(run_dir.path)
    run_steps = make_step_function(task, strategy, config)
    iterator = distributed_iterator(
        task.batches,
        task.batch_size,
        strategy,
        [(step, plan.total_steps)],
        data_service,
    )
    modules = (task.network, *task.state.values())
    write_views(writer, task.batches, step)
    sums, summed_from = _zeros(task), step
    chunk = 1
    with StopRequest() as stop:
        while step < plan.total_steps:
            count = min(chunk, events.next(step) - step)
            started = time.monotonic()
            with workers.watched():
                sums, waited = run_steps(iterator, tf.constant(count), sums)
            progress.add_wait(None if config.deterministic else float(waited))
            # All workers take the same number of steps, and stop together.
            seconds, signal_number = workers.maximum(
                time.monotonic() - started, stop.signal_number or 0
            )
            chunk = _next_chunk(count, chunk, seconds)
            step += count
            epoch = step / steps_per_epoch
            stopping = signal_number > 0
            logs = events.logs(step) or stopping
            if logs or progress.due():
                rate = float(schedule(step - 1))
                metrics = _means(sums, step - summed_from)
                _check_finite(metrics, step, rate, run_dir)
                if progress.due():
                    facts = [*task.summary(metrics), f"lr {rate:.3g}"]
                    progress.show(step, facts)
            if logs:
                metrics["learning_rate"] = rate
                run_dir.append_metrics(step, epoch, "train", metrics)
                write_scalars(writer, step, "train", metrics)
                sums, summed_from = _zeros(task), step
            if stopping or events.saves(step) or events.evaluates(step):
                settle_statistics(modules, strategy)
            if evaluator is not None and events.evaluates(step):
                found = evaluator()
                run_dir.append_metrics(step, epoch, "eval", found)
                write_scalars(writer, step, "eval", found)
            if events.saves(step) or stopping:
                writer.flush()
                checkpoints.save(step)
            if stopping and step < plan.total_steps:
                raise Interrupted(int(signal_number), step)
    writer.close()
    return step


class _Events:
    """At which steps something is logged, saved or evaluated."""

    def __init__(
        self, config: TrainConfig, total_steps: int, steps_per_epoch: float
    ):
        epoch = max(1, round(steps_per_epoch))
        self.total = total_steps
        self.save_every = (
            config.checkpoint_steps or config.checkpoint_epochs * epoch
        )
        self.log_every = config.log_every_steps or min(
            50, max(1, total_steps // 100)
        )
        self.eval_every = config.eval_every_epochs * epoch

    def next(self, step: int) -> int:
        """The first step after `step` at which anything is due."""
        intervals = [self.save_every, self.log_every]
        if self.eval_every:
            intervals.append(self.eval_every)
        upcoming = [(step // every + 1) * every for every in intervals]
        return min(self.total, *upcoming)

    def logs(self, step: int) -> bool:
        # Everything that happens at a step also logs it, so that a resumed
        # run's sums start where a checkpoint left them.
        return (
            step % self.log_every == 0
            or self.saves(step)
            or self.evaluates(step)
        )

    def saves(self, step: int) -> bool:
        return step % self.save_every == 0 or step == self.total

    def evaluates(self, step: int) -> bool:
        return bool(self.eval_every) and (
            step % self.eval_every == 0 and step != self.total
        )


def _zeros(task: Task) -> dict[str, tf.Tensor]:
    return {name: tf.constant(0.0) for name in task.metric_names}


def _means(sums: dict[str, tf.Tensor], steps: int) -> dict[str, float]:
    return {name: float(total) / steps for name, total in sums.items()}


def _next_chunk(count: int, chunk: int, seconds: float) -> int:
    """More steps per call where the last took little time."""
    if count < chunk:
        return chunk
    wanted = count * _CHUNK_SECONDS / max(seconds, 1e-3)
    return max(1, min(2 * chunk, int(wanted)))


def _check_finite(
    metrics: dict[str, float],
    step: int,
    learning_rate: float,
    run_dir: RunDirectory,
) -> None:
    broken = [n for n, value in metrics.items() if not math.isfinite(value)]
    if broken:
        raise TrainingFailed(
            f"{', '.join(broken)} is not finite at step {step} (learning rate"
            f" {learning_rate:.4g}); the last checkpoint in"
            f" {run_dir.checkpoints} is untouched. Try a lower --learning_rate"
            " or a longer --warmup_epochs."
        )
