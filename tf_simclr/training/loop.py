"""The training loop: it steps, logs, saves and evaluates.

It knows no stage: a `Task` says which batches, which loss and which variables.
"""

import math
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.models.batch_norm import settle_statistics
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.progress import Progress, say
from tf_simclr.signals import Interrupted, StopRequest, Terminated, stopping_by
from tf_simclr.training import running
from tf_simclr.training.checkpoints import Checkpoints, Position
from tf_simclr.training.distributed_input import distributed_iterator
from tf_simclr.training.hparams import EVALUATION, NEIGHBOURS
from tf_simclr.training.intervals import Events
from tf_simclr.training.profiler import StepProfiler
from tf_simclr.training.recovery import (
    NotFinite,
    Recoveries,
    SkipWatch,
    batch_ranges,
    check_some_taken,
)
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.stall import StallWatch, note_first_step
from tf_simclr.training.step import Task, make_step_function
from tf_simclr.training.tensorboard import Summaries, cut_events_after
from tf_simclr.training.update import GRADIENT_NORM
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
    scored_on: Mapping[str, Any] | None = None,
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
      scored_on: the identity of what the evaluator scores.

    Returns:
      The step that was reached.

    Raises:
      TrainingFailed: the loss is not finite, no update was taken, or no
        checkpoint can be saved.
      Interrupted: a signal asked to stop; the state is saved.
      WorkerLost: another process of the cluster has gone.
    """
    recoveries = Recoveries(run_dir, config.recover_from_nan)
    training = _Training(
        task,
        plan,
        config,
        run_dir,
        strategy,
        evaluator,
        data_service,
        scored_on,
    )
    while True:
        try:
            return training.run(recoveries.left_out)
        except NotFinite as error:
            recoveries.add(error)


class _Training:
    """What a process needs to train, and how far it is."""

    def __init__(
        self,
        task: Task,
        plan: SchedulePlan,
        config: TrainConfig,
        run_dir: RunDirectory,
        strategy: tf.distribute.Strategy,
        evaluator: Evaluator | None,
        data_service: str | None,
        scored_on: Mapping[str, Any] | None,
    ):
        self._task, self._plan = task, plan
        self._total = plan.total_steps
        self._config, self._run_dir = config, run_dir
        self._strategy, self._evaluator = strategy, evaluator
        self._workers, self._data_service = Workers(strategy), data_service
        with strategy.scope():
            build_slots(task.optimizer, task.trainable)
            self._checkpoints = Checkpoints(
                run_dir,
                task.network,
                task.optimizer,
                config.keep_checkpoint_max,
                task.state,
                scored_on,
            )
        self._schedule = plan.schedule()
        self._steps_per_epoch = Fraction(
            len(task.batches.images), task.batch_size
        )
        self._events = Events(config, self._total, self._steps_per_epoch)
        self._run_steps = make_step_function(task, strategy, config)
        self._names = (*task.metric_names, GRADIENT_NORM)

    def run(self, left_out: Sequence[int]) -> int:
        """Trains from the last checkpoint on; returns the step reached.

        Args:
          left_out: ascending numbers of the batches that no step uses.
        """
        found = self._checkpoints.restore()
        at = found or Position(0, 0, {})
        self._workers.check_same(at.step)
        self._step, self._summed_from = at.step, at.summed_from
        self._saved = self._settled = at.step if found else None
        self._running = running.start_running(
            at.step,
            running.in_order(at.sums, self._names, self._task.shares),
        )
        self._run_dir.cut_metrics_after(at.step)
        # What belongs to step 0 is written anew.
        cut_events_after(self._run_dir.path, at.step or -1)
        self._announce()
        if self._step < self._total:
            self._train(left_out)
        check_some_taken(self._run_dir.read_metrics(), self._step)
        return self._step

    def _announce(self) -> None:
        if self._step > self._total:
            say(
                f"Step {self._step} has been reached, beyond the {self._total}"
                " steps asked for: nothing left to train."
            )
        elif 0 < self._step < self._total:
            rate = float(self._schedule(self._step))
            say(
                f"Continuing from step {self._step} of {self._total}, learning"
                f" rate {rate:.4g}."
            )

    def _train(self, left_out: Sequence[int]) -> None:
        if self._config.recover_from_nan and self._saved is None:
            # Something to go back to.
            self._save({})
        self._progress = Progress(
            self._task.name,
            self._total,
            self._task.batch_size,
            self._step,
            by_time=not self._config.log_every_steps,
        )
        self._summaries = Summaries(
            self._task, self._plan, self._run_dir, self._step
        )
        self._profiler = StepProfiler(self._config, self._run_dir.path)
        self._watch = StallWatch()
        self._skips = SkipWatch(self._step)
        self._stop = StopRequest()
        with self._summaries, self._profiler, self._watch, self._stop:
            if self._owes_evaluation():
                self._summaries.continues(self._step, self._names)
                self._evaluate()
                self._stop_if_asked()
            iterator = distributed_iterator(
                self._task.batches,
                self._task.batch_size,
                self._strategy,
                batch_ranges(self._step, self._total, left_out),
                self._data_service,
                passes=self._task.passes,
            )
            chunk = 1
            while self._step < self._total:
                chunk = self._advance(iterator, chunk)
                self._after_steps()
                self._stop_if_asked()

    def _asked(self) -> int:
        """The signal that asks to stop, on all workers the same; 0: none."""
        (number,) = self._workers.maximum(self._stop.signal_number or 0)
        return int(number)

    def _stop_if_asked(self) -> None:
        number = self._asked()
        if number:
            if self._saved != self._step:
                self._save({}, planned=False)
            raise Interrupted(number, self._step)

    def _advance(self, iterator: tf.data.Iterator, chunk: int) -> int:
        """Takes up to `chunk` steps; returns how many to take next: on all
        workers the same."""
        step = self._step
        room = self._profiler.room(step)
        count = min(chunk, self._events.next(step) - step, room)
        self._profiler.at(step)
        self._summaries.before(count)
        started = time.monotonic()
        with self._watch.watched(), self._workers.watched():
            self._running, waited = self._run_steps(
                iterator, tf.constant(count), self._running
            )
            finite = bool(self._running.finite)
        if not finite:
            raise self._not_finite()
        note_first_step()
        seconds = time.monotonic() - started
        waited = None if self._config.deterministic else float(waited)
        self._progress.add_wait(waited)
        self._summaries.stepped(count, seconds, waited)
        self._step += count
        (slowest,) = self._workers.maximum(seconds)
        return _next_chunk(count, chunk, slowest)

    def _after_steps(self) -> None:
        """Does what is due at this step."""
        step, events = self._step, self._events
        show = events.shows(step) or self._progress.due()
        if events.logs(step) or show:
            self._report(log=events.logs(step), show=show)
        # Before the evaluation, which may take long or fail.
        if events.saves(step):
            self._save({})
        if events.evaluates(step):
            self._evaluate()

    def _owes_evaluation(self) -> bool:
        """True if a process before this one was stopped in the evaluation of
        the step that it had saved."""
        step = self._step
        owes = (
            step > 0
            and self._evaluator is not None
            and self._events.evaluates(step)
            and not any(
                (line["step"], line["split"]) == (step, "eval")
                for line in self._run_dir.read_metrics()
            )
        )
        (owes,) = self._workers.maximum(owes)
        if owes:
            # It may have been stopped while it wrote them.
            runs = (EVALUATION, NEIGHBOURS)
            cut_events_after(self._run_dir.path, step - 1, runs)
        return bool(owes)

    def _evaluate(self) -> None:
        """Scores this step, unless a signal ends that: the process that goes
        on from here will."""
        self._settle()
        if self._evaluator is None:
            return

        def check() -> None:
            # After the same batch on all workers.
            number = self._asked()
            if number:
                raise Terminated(number)

        try:
            check()
            with stopping_by(check):
                found = self._evaluator()
        except Terminated:
            return
        step = self._step
        self._summaries.evaluation(step, found)
        self._summaries.flush()
        (better,) = self._workers.maximum(self._checkpoints.improves(found))
        if self._events.saves(step):
            self._checkpoints.score(step, found)
        elif better:
            self._save(found)
        if found:
            # Last, since it marks the step as evaluated.
            self._append("eval", found)

    def _report(self, *, log: bool, show: bool) -> None:
        """Shows the metrics since the last log line, or logs them."""
        step, since = self._step, self._summed_from
        rate = float(self._schedule(step - 1))
        metrics = running.means(
            self._running, self._names, since, self._task.shares
        )
        if show:
            last = running.named(self._running.last, self._names)
            facts = [
                *self._task.summary(metrics),
                *self._skips.facts(step, since, metrics, last),
                f"lr {rate:.3g}",
            ]
            self._progress.show(step, facts)
        if log:
            metrics["learning_rate"] = rate
            self._append("train", metrics)
            self._summaries.train(step, metrics)
            self._skips.logged(step, since, metrics)
            self._summed_from = step
            self._running = running.without_sums(self._running)

    def _append(self, split: str, metrics: dict[str, float]) -> None:
        epoch = float(self._step / self._steps_per_epoch)
        self._run_dir.append_metrics(self._step, epoch, split, metrics)

    def _settle(self) -> None:
        # Once a step: a run that goes on from here has done it, too.
        if self._settled == self._step:
            return
        self._settled = self._step
        modules = (self._task.network, *self._task.state.values())
        settle_statistics(modules, self._strategy)

    def _save(self, score: dict[str, float], *, planned: bool = True) -> None:
        self._settle()
        if not self._checkpoints.finite():
            raise self._not_finite()
        if self._step:
            self._summaries.flush()
        sums = {}
        if self._summed_from < self._step:
            sums = running.named(self._running.sums, self._names)
        at = Position(self._step, self._summed_from, sums)
        with self._workers.watched():
            self._checkpoints.save(at, score, planned=planned)
        self._saved = self._step

    def _not_finite(self) -> NotFinite:
        """The error for the first step that went wrong."""
        step = int(self._running.step)
        rate = float(self._schedule(step - 1))
        metrics = running.named(self._running.last, self._names)
        before = running.named(self._running.before, self._names)
        norms = metrics[GRADIENT_NORM], before[GRADIENT_NORM]
        broken = [n for n, value in metrics.items() if not math.isfinite(value)]
        what = ", ".join(broken) if broken else "a weight after the update"
        message = (
            f"Not finite at step {step}: {what} (learning rate {rate:.4g},"
            f" gradient norm {norms[0]:.4g}, one step before {norms[1]:.4g});"
            f" {self._checkpoints.latest()}. Try a lower --learning_rate, a"
            " longer --warmup_epochs, or --recover_from_nan."
        )
        figures = {
            "learning_rate": rate,
            "not_finite": broken or ["weights"],
            "gradient_norm": str(norms[0]),
            "gradient_norm_before": norms[1],
        }
        return NotFinite(message, step, figures)


def _next_chunk(count: int, chunk: int, seconds: float) -> int:
    """More steps per call where the last took little time."""
    if count < chunk:
        return chunk
    wanted = count * _CHUNK_SECONDS / max(seconds, 1e-3)
    return max(1, min(2 * chunk, int(wanted)))
