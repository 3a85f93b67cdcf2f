"""Changes of the stages that see labels: what is scored, kept and printed."""

import sys

import stand_in

from benchmarks.accuracy import finetuning_probe
from benchmarks.lib import short_runs
from tf_simclr.config import Config


def score(config: Config) -> float:
    """As if everything that is changed were worth something."""
    return (
        0.5
        + 0.02 * config.data.label_seed
        + 0.01 * config.model.ft_proj_selector
        + 0.1 * config.augment.crop_min_area
        + 20 * config.optimizer.learning_rate
        + 1e-5 * config.train.train_steps
        + 0.05 * config.objective.distillation_temperature
        + 0.01 * config.data.labels_per_class
    )


def test_each_change_is_scored_beside_the_recipe(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(short_runs, "run_program", stand_in.stand_in(score))
    output = tmp_path / "probe"
    flags = ["--labels", "4", "--seeds=2", "--jobs=2", f"--output={output}"]
    monkeypatch.setattr(sys, "argv", ["", *flags])
    assert finetuning_probe.main() == 0
    shown = capsys.readouterr().out
    rows = [
        line.strip("| ").split(" | ")
        for line in shown.splitlines()
        if line.startswith("| 4 |")
    ]
    assert [(row[1], row[2]) for row in rows] == [
        (finetuning_probe.STAGES[stage][0], title)
        for stage, changes in finetuning_probe.CHANGES.items()
        for title in changes
    ]
    leads = {(row[1], row[2]): row[4] for row in rows}
    for (_, title), lead in leads.items():
        assert lead == "-" if title == "none" else lead.endswith(" ± 0.000")
        assert not lead.startswith("0.000"), title
    assert leads["fine-tuned", "from head layer 3"] == "0.020 ± 0.000"
    assert leads["fine-tuned", "crops from 0.9"] == "0.030 ± 0.000"
    assert leads["self-distilled", "temperature 0.5 instead of 0.1"] == (
        "0.020 ± 0.000"
    )
    # What is there is not run again.
    kept = {path: path.read_bytes() for path in output.glob("*.jsonl")}
    assert len(kept) == 2
    other = stand_in.stand_in(lambda _: 0.0)
    monkeypatch.setattr(short_runs, "run_program", other)
    assert finetuning_probe.main() == 0
    assert capsys.readouterr().out == shown
    assert {path: path.read_bytes() for path in output.glob("*.jsonl")} == kept
