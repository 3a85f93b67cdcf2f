"""The training loop: it steps, logs, saves and evaluates.

It knows no stage: a `Task` says which batches, which loss and which variables.
"""

import math
import time

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.optimizers.schedule import SchedulePlan, WarmupCosine
from tf_simclr.training.checkpoints import Checkpoints
from tf_simclr.training.profiler import StepProfiler
from tf_simclr.training.progress import Progress
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.step import Task, make_step_function
from tf_simclr.training.stop import Interrupted, StopRequest, TrainingFailed
from tf_simclr.training.summaries.writer import Summaries

# Device time between two looks at the clock, counted in seconds.
_CHUNK_SECONDS = 2.0


def train(
    task: Task,
    plan: SchedulePlan,
    config: TrainConfig,
    run_dir: RunDirectory,
    strategy: tf.distribute.Strategy,
    evaluator: Evaluator | None = None,
) -> int:
    """Trains to `plan.total_steps`, from the latest checkpoint if there is one.

    Args:
      task: see `Task`.
      plan: number of steps and learning rate.
      config: intervals of checkpoints, logs and evaluations.
      run_dir: where files go; the directory exists.
      strategy: devices; `task`'s variables were made in its scope.
      evaluator: called every `--eval_every_epochs`; returns metrics.

    Returns:
      The step that was reached.

    Raises:
      TrainingFailed: the loss is not finite.
      Interrupted: a signal asked to stop; the state is saved.
    """
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
    if step >= plan.total_steps:
        return step
    if step:
        print(f"Continuing from step {step}.", flush=True)
    run_dir.cut_metrics_after(step)
    schedule = WarmupCosine(plan.peak, plan.warmup_steps, plan.total_steps)
    steps_per_epoch = len(task.batches.images) / task.batch_size
    events = _Events(config, plan.total_steps, steps_per_epoch)
    progress = Progress(task.name, plan.total_steps, task.batch_size, step)
    summaries = Summaries(task, plan, run_dir, step)
    run_steps = make_step_function(task, strategy, config)
    iterator = _distributed_iterator(task, strategy, step, plan.total_steps)
    sums, summed_from = _zeros(task), step
    chunk = 1
    profiler = StepProfiler(config, run_dir.path)
    with StopRequest() as stop, profiler, summaries:
        while step < plan.total_steps:
            count = min(chunk, events.next(step) - step, profiler.room(step))
            profiler.at(step)
            summaries.before(count)
            started = time.monotonic()
            sums, waited = run_steps(iterator, tf.constant(count), sums)
            waited = None if config.deterministic else float(waited)
            seconds = time.monotonic() - started
            progress.add_wait(waited)
            summaries.stepped(count, seconds, waited)
            chunk = _next_chunk(count, chunk, seconds)
            step += count
            epoch = step / steps_per_epoch
            stopping = stop.signal_number is not None
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
                summaries.train(step, metrics)
                sums, summed_from = _zeros(task), step
            if evaluator is not None and events.evaluates(step):
                found = evaluator()
                run_dir.append_metrics(step, epoch, "eval", found)
                summaries.evaluation(step, found)
            if events.saves(step) or stopping:
                summaries.flush()
                checkpoints.save(step)
            if stopping and step < plan.total_steps:
                raise Interrupted(stop.signal_number, step)
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


def _distributed_iterator(
    task: Task,
    strategy: tf.distribute.Strategy,
    step: int,
    total_steps: int,
) -> tf.data.Iterator:
    replicas = strategy.num_replicas_in_sync

    def per_replica(
        context: tf.distribute.InputContext,
    ) -> tf.data.Dataset:
        return task.batches.dataset(
            task.batch_size // replicas,
            step * replicas,
            total_steps * replicas,
        ).shard(context.num_input_pipelines, context.input_pipeline_id)

    return iter(strategy.distribute_datasets_from_function(per_replica))


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
