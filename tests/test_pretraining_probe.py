"""Short pretrainings compared by probes: what is scored, kept and printed."""

import sys

import numpy as np
import stand_in

from benchmarks.accuracy import pretraining_probe
from benchmarks.lib import short_runs
from tf_simclr.config import Config


def blobs(spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 50)
    return np.eye(3)[labels] + spread * rng.normal(size=(150, 3)), labels


def test_probes_tell_clear_features_from_noise():
    clear, noisy = (
        np.mean(pretraining_probe.probe(*blobs(spread)))
        for spread in (0.1, 3.0)
    )
    assert clear > 0.99
    assert 0.2 < noisy < 0.7


def score(config: Config) -> float:
    """As if all that is changed were worth something, and the label seed."""
    if config.run.mode == "pretrain":
        return 0.1 * (
            config.objective.temperature
            + config.augment.crop_min_area
            + config.augment.color_jitter_strength
            + 10 * config.optimizer.learning_rate
        )
    return 0.1 * config.data.label_seed + config.model.width_multiplier


def test_each_change_is_scored_and_kept(tmp_path, monkeypatch, capsys):
    program = stand_in.stand_in(score, blobs(0.1))
    monkeypatch.setattr(short_runs, "run_program", program)
    monkeypatch.setattr(pretraining_probe, "DRAWS", 2)
    output = tmp_path / "probe"
    monkeypatch.setattr(sys, "argv", ["", "--jobs=2", f"--output={output}"])
    assert pretraining_probe.main() == 0
    changes = pretraining_probe.CHANGES
    lines = pretraining_probe.read_scores(output)
    assert {line["flags"] for line in lines} == set(changes.values())
    assert len(lines) == len(changes)
    assert all(line["probes"] == [1, 1] for line in lines)
    shown = capsys.readouterr().out
    leads = {
        "LAMB at 0.01 instead of Adam at 0.002": "0.008",
        "LARS at 1": "0.998",
        "LARS at 3": "2.998",
        "jitter 0.5 instead of 1": "-0.050",
        "temperature 0.3 instead of 0.5": "-0.020",
        "crops from 0.35 of the image instead of 0.5": "-0.015",
        # The network that was pretrained is the one that is fine-tuned.
        "CIFAR stem at 28 pixels, a quarter of the width": "-0.250",
    }
    rows = shown.splitlines()[-len(changes) :]
    assert [row.split(" | ")[0].strip("| ") for row in rows] == list(changes)
    for title, row in zip(changes, rows, strict=True):
        lead = leads.get(title)
        assert row.endswith(f"| {lead} ± 0.000 |" if lead else "| - |"), row
        assert "| 1.000 ± 0.000 |" in row
    # What is there is not run again.
    other = stand_in.stand_in(lambda _: 0.0, blobs(3.0))
    monkeypatch.setattr(short_runs, "run_program", other)
    assert pretraining_probe.main() == 0
    assert capsys.readouterr().out == shown
    assert pretraining_probe.read_scores(output) == lines
