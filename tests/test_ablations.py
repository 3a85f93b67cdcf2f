"""The ablations: every setting is a command that is understood, runs are shared
and tables hold what was found."""

import json
import os
import pathlib
import sys

import pytest
import tiny

sys.path.append(str(tiny.ROOT / "benchmarks"))
import ablation_tables  # noqa: E402
import ablations  # noqa: E402
from ablation_studies import DATA, TITLES, variants  # noqa: E402

from tf_simclr import cli  # noqa: E402


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Notes the command of each run, and leaves a score that tells it."""
    noted: list[list[str]] = []

    def fork(command: list[str], devices: int, log: pathlib.Path) -> int:
        noted.append(command)
        config = cli.parse_config(command)
        config.check()
        folder = pathlib.Path(config.run.model_dir)
        score = {"eval/label_top_1_accuracy": 0.1 * config.train.seed + 0.5}
        (folder / "result.json").write_text(json.dumps(score))
        return os.posix_spawnp("true", ["true"], os.environ)

    monkeypatch.setattr(ablations, "fork", fork)
    return noted


@pytest.mark.parametrize("data", DATA)
def test_every_setting_is_understood_and_runs_are_shared(
    tmp_path, commands, data
):
    scores = []
    for seed in (0, 1):
        trials = [ablations.Trial(data, one, seed) for one in variants()]
        part = tmp_path / f"scores-{seed}.jsonl"
        ablations.run_share(trials, tmp_path, part)
        scores += [json.loads(line) for line in part.read_text().splitlines()]
    assert len(scores) == 2 * len(list(variants()))
    assert ablations.read_scores(tmp_path) == scores
    modes = [command[2] for command in commands]
    # One for each setting of the pretraining, not of all else.
    different = {one.pretrain for one in variants()}
    assert modes.count("--mode=pretrain") == 2 * len(different)
    distilled = [v for v in variants() if v.distill is not None]
    assert modes.count("--mode=distill") == 2 * len(distilled)
    configs = [cli.parse_config(command) for command in commands]
    # Networks are fine-tuned as wide as they were pretrained.
    folders = {config.run.model_dir: config for config in configs}
    for config in configs:
        if config.stage == "finetune":
            start = folders[config.objective.checkpoint]
            for name in ("width_multiplier", "sk_ratio"):
                assert getattr(config.model, name) == getattr(start.model, name)
    # No test image, in any of them.
    for config in configs:
        assert config.data.eval_split.startswith("train[")
    tables = ablation_tables.tables(scores)
    assert list(tables) == list(TITLES)
    assert (
        "| 3 | 0.550 (+0.000 ± 0.000) | 0.550 | 0.550 (+0.000 ± 0.000)"
        in (tables["head"])
    )
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
