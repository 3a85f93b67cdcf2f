"""The ablations: every setting is a command that is understood, runs are shared
and tables hold what was found."""

import json
import os
import pathlib

import pytest
import stand_in

from benchmarks.accuracy import ablations
from benchmarks.lib import ablation_tables
from benchmarks.lib.ablation_studies import DATA, TITLES, variants
from tf_simclr.config import Config


def score(config: Config) -> float:
    """As if all that is varied were worth something."""
    found = 0.1 * config.model.width_multiplier + config.model.sk_ratio
    if config.run.mode == "pretrain":
        return found + 0.1 * (
            config.model.num_proj_layers
            + config.objective.temperature
            + bool(config.objective.memory_size)
            + config.optimizer.train_batch_size / 1000
            + 10 * config.optimizer.learning_rate
            + ("linear", "sqrt", "none").index(
                config.optimizer.learning_rate_scaling
            )
            + ("lars", "adam", "adamw", "lamb").index(
                config.optimizer.optimizer
            )
        )
    return found + 0.01 * (
        config.model.ft_proj_selector
        + config.data.labels_per_class
        + config.objective.distillation_temperature
        + config.objective.distillation_alpha
        + config.train.seed
        + config.data.label_seed
        + config.augment.crop_min_area
        + config.train.weight_ema
        + config.train.train_epochs / 10
        + len(config.objective.method or "")
        + 2 * bool(config.objective.checkpoint)
        + 3 * _is_student(config.objective.teacher)
    )


def _is_student(teacher: str | None) -> bool:
    if not teacher:
        return False
    result = json.loads((pathlib.Path(teacher) / "result.json").read_text())
    return result["mode"] == "distill"


@pytest.mark.parametrize("data", DATA)
def test_every_setting_is_scored_and_pretrainings_are_shared(
    tmp_path, monkeypatch, data
):
    program = stand_in.stand_in(score)

    def fork(command: list[str], devices: int, log: pathlib.Path) -> int:
        program(*command[1:])
        return os.posix_spawnp("true", ["true"], os.environ)

    monkeypatch.setattr(ablations, "fork", fork)
    for seed in (0, 1):
        trials = [ablations.Trial(data, one, seed) for one in variants()]
        part = tmp_path / f"scores-{seed}.jsonl"
        ablations.run_share(trials, tmp_path, part)
    scores = ablations.read_scores(tmp_path)
    assert len(scores) == 2 * len(list(variants()))
    results = (tmp_path / "runs").glob("*/result.json")
    modes = [json.loads(path.read_text())["mode"] for path in results]
    # One for each setting of the pretraining, not of all else, and that of the
    # student.
    different = {one.pretrain for one in variants()}
    assert modes.count("pretrain") == 2 * (len(different) + 1)
    tables = ablation_tables.tables(scores)
    assert list(tables) == list(TITLES)
    for study, table in tables.items():
        # A setting that did not reach its run would score as its reference.
        assert "(+0.000" not in table and "(-0.000" not in table, study
    # Of both seeds alike; and the reference is not compared with itself.
    head = tables["head"].splitlines()[-1].split(" | ")
    assert head[0] == "| 3"
    assert [cell.partition(" ")[2] for cell in head[1:4]] == [
        "(-0.010 ± 0.000)",
        "",
        "(+0.010 ± 0.000)",
    ]
    assert f"| {data}: memory | accuracy |" in tables["memory"]


def test_those_that_share_a_pretraining_stay_in_one_process():
    trials = [ablations.Trial("digits", one, 0) for one in variants()]
    shares = ablations.shares(trials, 2)
    assert sorted(map(id, sum(shares, []))) == sorted(map(id, trials))
    first, second = ({t.variant.pretrain for t in share} for share in shares)
    assert not first & second
    assert abs(len(shares[0]) - len(shares[1])) < 5


def test_a_cell_compares_seed_by_seed():
    # Seed 1 is harder by 0.3 for both, and not by the same for each.
    off, on = {0: 0.9, 1: 0.59}, {0: 1.0, 1: 0.71}
    assert ablation_tables.cell(off, {}) == "0.745"
    assert ablation_tables.cell(on, off) == "0.855 (+0.110 ± 0.014)"
    assert ablation_tables.cell({1: 0.5}, off) == "0.500 (-0.090)"
    assert ablation_tables.cell({}, off) == "-"
