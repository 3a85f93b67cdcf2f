"""The learning-rate schedule against the original's figures."""

import json

import golden_figures as golden
import numpy as np
import pytest

from tf_simclr.config import OptimizerConfig
from tf_simclr.config.flat import from_flat
from tf_simclr.modes.context import start_block
from tf_simclr.modes.prepare import prepare_stage
from tf_simclr.optimizers.schedule import (
    WarmupCosine,
    plan_schedule,
    warmup_cosine,
)

FIGURES = golden.load("schedule.npz")


def planned(config: dict):
    optimizer = OptimizerConfig(
        learning_rate=config["learning_rate"],
        learning_rate_scaling=config["learning_rate_scaling"],
        train_batch_size=config["train_batch_size"],
        warmup_epochs=config["warmup_epochs"],
    )
    return plan_schedule(
        optimizer, config["num_examples"], config["train_epochs"]
    )


@pytest.mark.parametrize("case", range(4))
def test_rates_and_steps_equal_the_original(case):
    plan = planned(json.loads(str(FIGURES[f"s{case}_config"])))
    assert plan.total_steps == FIGURES[f"s{case}_total_steps"]
    rates = warmup_cosine(
        FIGURES[f"s{case}_steps"],
        plan.peak,
        plan.warmup_steps,
        plan.total_steps,
    )
    error = golden.relative_error(rates.numpy(), FIGURES[f"s{case}_lr"])
    assert error < 1e-5


# Published settings (simclr README and paper): images, batch, epochs, steps.
@pytest.mark.parametrize(
    "images, batch, epochs, steps",
    [
        (1_281_167, 4096, 800, 250_228),
        (1_281_167, 4096, 400, 125_114),
        (1_281_167, 4096, 90, 28_151),
        (12_811, 1024, 60, 751),
        (128_116, 1024, 30, 3_754),
        (1_281_167, 1024, 30, 37_535),
    ],
)
def test_published_step_counts(images, batch, epochs, steps):
    plan = plan_schedule(
        OptimizerConfig(train_batch_size=batch), images, epochs
    )
    assert plan.total_steps == steps


def test_peak_of_the_papers_pretraining():
    config = OptimizerConfig(
        learning_rate=0.1, learning_rate_scaling="sqrt", train_batch_size=4096
    )
    plan = plan_schedule(config, 1_281_167, 800)
    assert np.isclose(plan.peak, 6.4)
    assert plan.equation == "6.4 = 0.1 x sqrt(4096)"


def test_config_round_trip():
    schedule = WarmupCosine(0.3, 10, 100)
    copy = WarmupCosine.from_config(schedule.get_config())
    assert float(copy(50)) == float(schedule(50))


@pytest.mark.parametrize(
    "warmup, epochs, steps, said",
    [
        # 24 images in batches of 8, and the original's one step more.
        (2, 2, 0, "warm-up of 6 steps is as long as the run of 7 steps"),
        (10, 2, 0, "warm-up of 30 steps is as long as the run of 7 steps"),
        (10, 100, 20, "warm-up of 30 steps is as long as the run of 20 steps"),
        (1, 2, 0, ""),
        (0, 2, 0, ""),
        (0, 100, 1, ""),
    ],
)
def test_a_warm_up_as_long_as_the_run_is_told(warmup, epochs, steps, said):
    config = OptimizerConfig(warmup_epochs=warmup, train_batch_size=8)
    plan = plan_schedule(config, 24, epochs, steps)
    assert said in plan.notice
    assert bool(plan.notice) == bool(said)
    rates = warmup_cosine(
        np.arange(plan.total_steps),
        plan.peak,
        plan.warmup_steps,
        plan.total_steps,
    )
    rises = np.all(np.diff(rates) > 0) and plan.total_steps > 1
    assert bool(plan.notice) == rises


@pytest.mark.parametrize("warmup, notices", [(10, 1), (2, 0)])
def test_the_start_block_tells_of_such_a_warm_up(tmp_path, warmup, notices):
    values = {
        "mode": "finetune",
        "from_scratch": True,
        "dataset": "digits",
        "model_dir": str(tmp_path / "run"),
        "train_epochs": 5,
        "warmup_epochs": warmup,
    }
    context = prepare_stage(from_flat(values), "finetune", labels_only=True)
    block = start_block(context, [], 1, 1)
    said = (
        "  notice     the warm-up of 28 steps is as long as the run of 15 steps"
    )
    assert block.count(said) == notices
    assert block.count("  notice ") == notices
