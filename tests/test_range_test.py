"""The learning-rate range test: what it suggests, and the mode around it."""

import json

import numpy as np
import pytest
import tiny

from tf_simclr import cli
from tf_simclr.optimizers.range_test import (
    GrowingRate,
    RangeTestPlan,
    has_diverged,
    range_test,
)

RATES = np.geomspace(1e-5, 10, 100)


def test_rates_grow_by_one_factor():
    schedule = GrowingRate(1e-4, 1.0, 5)
    found = [float(schedule(step)) for step in range(5)]
    assert np.allclose(found, [1e-4, 1e-3, 1e-2, 1e-1, 1.0], rtol=1e-5)
    assert GrowingRate(**schedule.get_config()).get_config() == (
        schedule.get_config()
    )
    plan = RangeTestPlan(1.0, "", 0, 5, lowest=1e-4)
    assert np.allclose(plan.rates(), found, rtol=1e-5)
    assert float(plan.schedule()(4)) == pytest.approx(1.0, rel=1e-5)


def test_a_tenth_of_the_rate_of_the_lowest_loss():
    losses = (np.log10(RATES) + 1) ** 2 + 1
    found = range_test(RATES, losses)
    assert found.suggestion == pytest.approx(0.01, rel=0.1)
    # Noise does not decide.
    noisy = losses + np.random.default_rng(0).normal(size=100) * 0.2
    assert range_test(RATES, noisy).suggestion == pytest.approx(0.01, rel=1.0)


def test_what_comes_after_a_divergence_does_not_count():
    losses = 2 - np.linspace(0, 1, 100)
    losses[70:] = 50
    found = range_test(RATES, losses)
    assert len(found.losses) == len(found.rates) == len(found.smoothed) == 70
    assert found.suggestion == pytest.approx(RATES[69] / 10, rel=1e-6)
    assert has_diverged(losses[:71]) and not has_diverged(losses[:70])
    losses[40] = np.nan
    assert len(range_test(RATES, losses).losses) == 40
    assert has_diverged(losses[:41])


def test_a_loss_that_only_rises_suggests_nothing():
    assert range_test(RATES, np.linspace(1, 3, 100)).suggestion is None
    assert range_test(RATES[:3], [1.0, 2.0, np.inf]).suggestion is None
    # Below 0 nothing is many times as bad.
    assert len(range_test(RATES, np.linspace(-1, 3, 100)).losses) == 100


@pytest.fixture
def flags(tmp_path, one_block):
    return [
        *tiny.FLAGS,
        f"--dataset={tiny.write_npz(tmp_path)}",
        "--mode=lr_find",
        "--lr_find_steps=12",
        f"--model_dir={tmp_path}/found",
    ]


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_a_stage_is_looked_at_and_nothing_is_kept(flags, tmp_path, stage):
    more = [f"--train_mode={stage}"]
    if stage == "finetune":
        more += ["--from_scratch", "--optimizer=adam"]
    assert cli.main(["run.py", *flags, *more]) == 0
    found = json.loads((tmp_path / "found" / "lr_find.json").read_text())
    assert 5 < len(found["rates"]) == len(found["losses"]) <= 12
    assert np.isclose(found["rates"][0], 1e-5)
    # Of the flag: --learning_rate_scaling=linear, batches of 8.
    assert found["scaling"] == 8 / 256
    assert (tmp_path / "found" / "lr_find.png").stat().st_size > 1000
    assert not (tmp_path / "found" / "checkpoints").exists()
    assert not (tmp_path / "found" / "config.json").exists()


def test_mistakes(flags, tmp_path, capsys):
    for more, message in [
        (["--lr_find_lowest=20"], "must be above --lr_find_lowest"),
        (["--mode=pretrain"], "--lr_find_steps has no effect without"),
        (["--train_mode=finetune"], "needs weights to start from"),
    ]:
        assert cli.main(["run.py", *flags, *more]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "found").mkdir(exist_ok=True)
    assert not any((tmp_path / "found").iterdir())
