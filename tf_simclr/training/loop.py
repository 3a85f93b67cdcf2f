"""The training loop: it steps, logs, saves and evaluates.

It knows no method: a `Task` says what is trained and how a step computes it.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import tensorflow as tf

from tf_simclr.config.train import TrainConfig
from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.metrics import (
    EVALUATION,
    GRADIENT_NORM,
    LEARNING_RATE,
    NEIGHBOURS,
    counts,
)
from tf_simclr.models.batch_norm import settle_statistics
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.optimizers.schedule import SchedulePlan, warmup_cosine
from tf_simclr.progress import Progress, say
from tf_simclr.signals import Interrupted, StopRequest, Terminated, stopping_by
from tf_simclr.training import metric_sums
from tf_simclr.training.best import USUAL_SELECTION, EarlyStop, Selection
from tf_simclr.training.checkpoints import Checkpoints, Position
from tf_simclr.training.distributed_input import distributed_iterator
from tf_simclr.training.intervals import USUAL_PACE, Intervals, Pace
from tf_simclr.training.profiler import StepProfiler
from tf_simclr.training.recovery import (
    NotFinite,
    SkippedBatches,
    SkipWatch,
    batch_ranges,
    check_some_taken,
)
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.stall import StallWatch, note_first_step
from tf_simclr.training.step import Task, make_step_function
from tf_simclr.training.tensorboard import Summaries, cut_events_after
from tf_simclr.training.workers import Workers


def train(
    task: Task,
    plan: SchedulePlan,
    config: TrainConfig,
    run_dir: RunDirectory,
    strategy: tf.distribute.Strategy,
    evaluator: Evaluator | None = None,
    data_service: str | None = None,
    selection: Selection = USUAL_SELECTION,
    pace: Pace = USUAL_PACE,
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
      selection: how its evaluations are compared, and when they end the run.
      pace: how often the loop looks up from the devices.

    Returns:
      The step that was reached.

    Raises:
      TrainingFailed: the loss is not finite, no update was taken, or no
        checkpoint can be saved.
      Interrupted: a signal asked to stop; the state is saved.
      WorkerLost: another process of the cluster has gone.
    """
    run = _start_run(
        task,
        plan,
        config,
        run_dir,
        strategy,
        evaluator,
        data_service,
        selection,
        pace,
    )
    skipped = SkippedBatches(run_dir, config.recover_from_nan)
    while True:
        try:
            return _train_on(run, skipped.numbers)
        except NotFinite as error:
            skipped.add(error)


@dataclasses.dataclass(frozen=True)
class _Run:
    """Constants of a process that trains.

    Attributes:
      task, plan, config, run_dir, strategy, evaluator, data_service,
        selection, pace: as `train` was given them.
      state: what belongs into a checkpoint besides network and optimizer.
      checkpoints: save and restore all of that.
      workers: the processes that train together.
      steps_per_epoch: images by batch size.
      intervals: what is due at which step.
      run_steps: see `make_step_function`.
    """

    task: Task
    plan: SchedulePlan
    config: TrainConfig
    run_dir: RunDirectory
    strategy: tf.distribute.Strategy
    evaluator: Evaluator | None
    data_service: str | None
    selection: Selection
    pace: Pace
    state: Mapping[str, Any]
    checkpoints: Checkpoints
    workers: Workers
    steps_per_epoch: Fraction
    intervals: Intervals
    run_steps: Callable

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        plan = self.plan
        return float(
            warmup_cosine(step, plan.peak, plan.warmup_steps, plan.total_steps)
        )


def _start_run(
    task: Task,
    plan: SchedulePlan,
    config: TrainConfig,
    run_dir: RunDirectory,
    strategy: tf.distribute.Strategy,
    evaluator: Evaluator | None,
    data_service: str | None,
    selection: Selection,
    pace: Pace,
) -> _Run:
    method = task.method
    state = {**method.state, **task.state}
    with strategy.scope():
        build_slots(method.optimizer, method.trainable)
        checkpoints = Checkpoints(
            run_dir,
            method.network,
            method.optimizer,
            config.keep_checkpoint_max,
            state,
            selection,
        )
    steps_per_epoch = Fraction(len(task.batches.images), task.batch_size)
    return _Run(
        task=task,
        plan=plan,
        config=config,
        run_dir=run_dir,
        strategy=strategy,
        evaluator=evaluator,
        data_service=data_service,
        selection=selection,
        pace=pace,
        state=state,
        checkpoints=checkpoints,
        workers=Workers(strategy),
        steps_per_epoch=steps_per_epoch,
        intervals=Intervals(config, plan.total_steps, steps_per_epoch),
        run_steps=make_step_function(task, strategy, config),
    )


def _train_on(run: _Run, left_out: Sequence[int]) -> int:
    """Trains from the last checkpoint on; returns the step reached.

    Args:
      run: what is trained.
      left_out: ascending numbers of the batches that no step uses.
    """
    found = run.checkpoints.restore()
    at = found or Position(0, 0, {})
    run.workers.check_same(at.step)
    run.run_dir.cut_metrics_after(at.step)
    # What belongs to step 0 is written anew.
    cut_events_after(run.run_dir.path, at.step or -1)
    total = run.plan.total_steps
    if at.step > total:
        say(
            f"Step {at.step} has been reached, beyond the {total} steps asked"
            " for: nothing left to train."
        )
    elif 0 < at.step < total:
        say(
            f"Continuing from step {at.step} of {total}, learning rate"
            f" {run.rate(at.step):.4g}."
        )
    step = at.step
    if step < total:
        training = _Training(run, at, saved=found is not None)
        with run.task.exchanged():
            step = training.train(left_out)
    check_some_taken(run.run_dir.read_metrics(), step)
    return step


class _Training:
    """Progress of the training from one checkpoint on.

    Args:
      run: what is trained.
      at: where it starts.
      saved: whether that is a checkpoint.
    """

    def __init__(self, run: _Run, at: Position, *, saved: bool):
        self._run, self._task, self._config = run, run.task, run.config
        self._total = run.plan.total_steps
        self._names = run.task.metric_names
        self._counted_by = counts(run.task.metrics)
        self._step, self._summed_from = at.step, at.summed_from
        self._saved = self._settled = at.step if saved else None
        # Scores of the last evaluation.
        self._found: dict[str, float] = {}
        self._sums = metric_sums.start_sums(
            at.step,
            metric_sums.in_order(at.sums, self._names, self._counted_by),
        )
        self._progress = Progress(
            run.task.method.stage,
            self._total,
            run.task.batch_size,
            at.step,
            interval=(
                math.inf
                if run.config.log_every_steps
                else run.pace.line_seconds
            ),
        )
        self._summaries = Summaries(
            run.task,
            run.plan,
            run.run_dir,
            at.step,
            replicas=run.strategy.num_replicas_in_sync,
        )
        self._profiler = StepProfiler(run.config, run.run_dir.path)
        self._early = EarlyStop(run.run_dir, run.selection)
        self._exhausted = False
        self._watch = StallWatch()
        self._skips = SkipWatch(at.step)
        self._stop = StopRequest()

    def train(self, left_out: Sequence[int]) -> int:
        """Trains to the last step, or to the evaluation after which no better
        one is expected; returns the step."""
        run = self._run
        with self._summaries, self._profiler, self._watch, self._stop:
            if self._config.recover_from_nan and self._saved is None:
                # Something to go back to.
                self._save({})
            self._early.begin(self._step)
            self._exhausted = self._early.exhausted()
            if self._owes_evaluation():
                self._summaries.continues(self._step, self._names)
                self._evaluate()
                self._stop_if_asked()
            iterator = distributed_iterator(
                self._task.batches,
                self._task.batch_size,
                run.strategy,
                batch_ranges(self._step, self._total, left_out),
                run.data_service,
                num_micro_batches=self._task.num_micro_batches,
            )
            chunk = 1
            while self._step < self._total and not self._ends_early():
                chunk = self._advance(iterator, chunk)
                self._after_steps()
                self._stop_if_asked()
        return self._step

    def _ends_early(self) -> bool:
        """True, on all workers, if no better evaluation is expected; prints so.

        The evaluation of this step is recorded; its checkpoint is saved.
        """
        if not self._run.selection.patience:
            return False
        (ends,) = self._run.workers.maximum(self._exhausted)
        if not ends:
            return False
        if self._saved != self._step:
            self._save(self._found)
        patience, best = self._run.selection.patience, self._early.best()
        than = "a finite one"
        if best is not None:
            shown = "".join(f"{n} {v:.4f}" for n, v in best[1].items())
            than = f"that of step {best[0]} ({shown})"
        say(
            f"Early stopping at step {self._step} of {self._total}:"
            f" {patience} evaluations in a row were not better than {than}."
        )
        return True

    def _asked(self) -> int:
        """The signal that asks to stop, on all workers the same; 0: none."""
        (number,) = self._run.workers.maximum(self._stop.signal_number or 0)
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
        count = min(chunk, self._run.intervals.next(step) - step, room)
        self._profiler.at(step)
        self._summaries.before(count)
        started = time.monotonic()
        with self._watch.watched(), self._run.workers.watched():
            self._sums, waited = self._run.run_steps(
                iterator, tf.constant(count), self._sums
            )
            finite = bool(self._sums.finite)
        if not finite:
            raise self._not_finite()
        note_first_step()
        seconds = time.monotonic() - started
        waited = None if self._config.deterministic else float(waited)
        self._progress.add_wait(waited)
        self._summaries.stepped(count, seconds, waited)
        self._step += count
        (slowest,) = self._run.workers.maximum(seconds)
        return self._run.pace.next_chunk(count, chunk, slowest)

    def _after_steps(self) -> None:
        """Logs, saves and evaluates as this step requires."""
        step, due = self._step, self._run.intervals
        show = due.shows(step) or self._progress.due()
        if due.logs(step) or show:
            self._report(log=due.logs(step), show=show)
        # Before the evaluation, which may take long or fail.
        if due.saves(step):
            self._save({})
        if due.evaluates(step):
            self._evaluate()

    def _owes_evaluation(self) -> bool:
        """True if a process before this one was stopped in the evaluation of
        the step that it had saved."""
        step = self._step
        owes = (
            step > 0
            and self._run.evaluator is not None
            and self._run.intervals.evaluates(step)
            and not any(
                (line["step"], line["split"]) == (step, "eval")
                for line in self._run.run_dir.read_metrics()
            )
        )
        (owes,) = self._run.workers.maximum(owes)
        if owes:
            # It may have been stopped while it wrote them.
            runs = (EVALUATION, NEIGHBOURS)
            cut_events_after(self._run.run_dir.path, step - 1, runs)
        return bool(owes)

    def _evaluate(self) -> None:
        """Scores this step, unless a signal ends that: the process that goes
        on from here will."""
        self._settle()
        if self._run.evaluator is None:
            return

        def check() -> None:
            # After the same batch on all workers.
            number = self._asked()
            if number:
                raise Terminated(number)

        try:
            check()
            with stopping_by(check), self._task.exchanged():
                found = self._run.evaluator().scores
        except Terminated:
            return
        step = self._step
        self._summaries.evaluation(step, found)
        self._summaries.flush()
        (better,) = self._run.workers.maximum(
            self._run.checkpoints.improves(found)
        )
        if self._run.intervals.saves(step):
            self._run.checkpoints.score(step, found)
        elif better:
            self._save(found)
        if found:
            # Last, since it marks the step as evaluated.
            self._append("eval", found)
        self._found = found
        self._exhausted = self._early.exhausted()

    def _report(self, *, log: bool, show: bool) -> None:
        """Shows the metrics since the last log line, or logs them."""
        step, since = self._step, self._summed_from
        rate = self._run.rate(step - 1)
        metrics = metric_sums.means(
            self._sums, self._names, since, self._counted_by
        )
        if show:
            last = metric_sums.named(self._sums.last, self._names)
            facts = [
                *self._task.method.progress(metrics),
                *self._skips.facts(step, since, metrics, last),
                f"lr {rate:.3g}",
            ]
            self._progress.show(step, facts)
        if log:
            metrics[LEARNING_RATE.name] = rate
            self._append("train", metrics)
            self._summaries.train(step, metrics)
            self._skips.logged(step, since, metrics)
            self._summed_from = step
            self._sums = metric_sums.without_sums(self._sums)

    def _append(self, split: str, metrics: dict[str, float]) -> None:
        epoch = float(self._step / self._run.steps_per_epoch)
        self._run.run_dir.append_metrics(self._step, epoch, split, metrics)

    def _settle(self) -> None:
        # Once a step: a run that goes on from here has done it, too.
        if self._settled == self._step:
            return
        self._settled = self._step
        modules = (self._task.method.network, *self._run.state.values())
        settle_statistics(modules, self._run.strategy)

    def _save(self, score: dict[str, float], *, planned: bool = True) -> None:
        self._settle()
        with self._task.exchanged():
            self._save_shown(score, planned)
        self._saved = self._step

    def _save_shown(self, score: dict[str, float], planned: bool) -> None:
        if not self._run.checkpoints.finite():
            raise self._not_finite()
        if self._step:
            self._summaries.flush()
        sums = {}
        if self._summed_from < self._step:
            sums = metric_sums.named(self._sums.sums, self._names)
        at = Position(self._step, self._summed_from, sums)
        with self._run.workers.watched():
            self._run.checkpoints.save(at, score, planned=planned)

    def _not_finite(self) -> NotFinite:
        """The error for the first step that went wrong."""
        step = int(self._sums.step)
        rate = self._run.rate(step - 1)
        metrics = metric_sums.named(self._sums.last, self._names)
        before = metric_sums.named(self._sums.before, self._names)
        norms = metrics[GRADIENT_NORM.name], before[GRADIENT_NORM.name]
        broken = [n for n, value in metrics.items() if not math.isfinite(value)]
        what = ", ".join(broken) if broken else "a weight after the update"
        message = (
            f"Not finite at step {step}: {what} (learning rate {rate:.4g},"
            f" gradient norm {norms[0]:.4g}, one step before {norms[1]:.4g});"
            f" {self._run.checkpoints.latest()}. Try a lower --learning_rate, a"
            " longer --warmup_epochs, or --recover_from_nan."
        )
        figures = {
            "learning_rate": rate,
            "not_finite": broken or ["weights"],
            "gradient_norm": str(norms[0]),
            "gradient_norm_before": norms[1],
        }
        return NotFinite(message, step, figures)
