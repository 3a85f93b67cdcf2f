"""Learning-rate range test of a stage: a curve and a suggestion."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.drawing import drawing
from tf_simclr.errors import UserError
from tf_simclr.files import replacing, write_json
from tf_simclr.methods.base import TOTAL_LOSS
from tf_simclr.methods.job import Job
from tf_simclr.modes.execute import make_task
from tf_simclr.modes.prepare import prepare, say_notices
from tf_simclr.optimizers.factory import build_slots
from tf_simclr.optimizers.range_test import (
    RangeTest,
    RangeTestPlan,
    has_diverged,
    range_test,
)
from tf_simclr.progress import say
from tf_simclr.signals import stop_point
from tf_simclr.training.distributed_input import distributed_iterator
from tf_simclr.training.metric_sums import start_sums, without_sums
from tf_simclr.training.run_dir import check_writable
from tf_simclr.training.step import Task, make_step_function

RESULT_FILE, CURVE_FILE = "lr_find.json", "lr_find.png"


def lr_find(config: Config) -> float | None:
    """Trains for `--lr_find_steps` steps at a rate that grows, and keeps none
    of it.

    Writes `lr_find.json` and `lr_find.png` to `model_dir`.

    Args:
      config: of the stage that `--train_mode` names.

    Returns:
      The value of `--learning_rate` that it suggests; None: the loss did not
      fall.

    Raises:
      UserError: something cannot be used, or `model_dir` holds a run.
    """
    folder = config.run.model_dir
    check_writable(folder)
    method_class, job = prepare(config)
    if job.run_dir.read_config() is not None:
        raise UserError(
            f"--model_dir={folder} holds a run, to which a range test does not"
            " belong: choose a new directory."
        )
    planned, plan = job.plan, _plan(config)
    job = dataclasses.replace(job, plan=plan)
    os.makedirs(folder, exist_ok=True)
    method = method_class(job)
    with job.strategy.scope():
        build_slots(method.optimizer, method.trainable)
    say_notices(config, job.splits.notices)
    for line in (*method.notes, *method.begin()):
        say(f"  {line}")
    with naming_bad_images(job.images):
        losses = _losses(job, make_task(job, method))
    found = range_test(plan.rates()[: len(losses)], losses)
    # Of the flag, not of the peak that batch and --learning_rate_scaling make.
    factor = planned.peak / config.optimizer.learning_rate
    suggestion = None
    if found.suggestion is not None:
        suggestion = float(f"{found.suggestion / factor:.2g}")
    result = {
        "suggestion": suggestion,
        "scaling": factor,
        "rates": found.rates.tolist(),
        "losses": found.losses.tolist(),
        "smoothed": found.smoothed.tolist(),
    }
    path = os.path.join(folder, RESULT_FILE)
    write_json(path, result)
    say(_sentence(suggestion, found, factor))
    with drawing(CURVE_FILE):
        _draw(os.path.join(folder, CURVE_FILE), found, job.stage)
    say(f"{path}, {CURVE_FILE}: {len(losses)} steps")
    return suggestion


def _plan(config: Config) -> RangeTestPlan:
    asked = config.lr_find
    return RangeTestPlan(
        peak=asked.lr_find_highest,
        equation="",
        warmup_steps=0,
        total_steps=asked.lr_find_steps,
        lowest=asked.lr_find_lowest,
    )


def _losses(job: Job, task: Task) -> list[float]:
    """The loss of each step until it diverges."""
    total = job.plan.total_steps
    steps = make_step_function(task, job.strategy, job.config.train)
    iterator = distributed_iterator(
        task.batches,
        task.batch_size,
        job.strategy,
        [(0, total)],
        job.config.data.data_service,
        num_micro_batches=task.num_micro_batches,
    )
    place = task.metric_names.index(TOTAL_LOSS.name)
    sums = start_sums(0, [0.0] * len(task.metric_names))
    losses: list[float] = []
    for step in range(total):
        stop_point()
        sums, _ = steps(iterator, tf.constant(1), without_sums(sums))
        losses.append(float(sums.last[place]))
        if not bool(sums.finite) or has_diverged(losses):
            say(f"The loss diverged in step {step + 1} of {total}.")
            break
    return losses


def _sentence(suggestion: float | None, found: RangeTest, factor: float) -> str:
    if suggestion is None:
        return (
            "The loss did not fall at any rate: try a lower --lr_find_lowest,"
            " or more --lr_find_steps."
        )
    lowest = found.rates[np.argmin(found.smoothed)] / factor
    return (
        f"--learning_rate={suggestion:g}, a tenth of {lowest:.2g}, where the"
        " loss was lowest. Compare a third of it and three times as much."
    )


def _draw(path: str, found: RangeTest, stage: str) -> None:
    """The losses by the rate, and the suggestion."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(found.rates, found.losses, color="C0", alpha=0.3, label="loss")
    axes.plot(found.rates, found.smoothed, color="C0", label="moving average")
    if found.suggestion is not None:
        axes.axvline(
            found.suggestion, color="C1", linestyle="--", label="suggestion"
        )
    axes.set_xscale("log")
    axes.set_xlabel("learning rate (peak)")
    axes.set_ylabel(f"loss of {stage}")
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
