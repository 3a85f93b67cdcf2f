"""Short pretrainings compared by probes: what is run, kept and printed."""

import json
import pathlib
import sys

import numpy as np
import tiny

sys.path.append(str(tiny.ROOT / "benchmarks"))
import pretraining_probe  # noqa: E402

import run  # noqa: E402


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


def test_settings_are_flags_and_what_is_there_is_not_run_again(
    tmp_path, monkeypatch, capsys
):
    commands = []

    def fake(*flags: str) -> None:
        command = ["run.py", f"--flagfile={pretraining_probe.RECIPE}", *flags]
        config = run.parse_config(command)
        config.check()
        commands.append(config)
        folder = pathlib.Path(config.run.model_dir)
        folder.mkdir()
        features, labels = blobs(0.1)
        np.savez(folder / "features.npz", features=features, labels=labels)

    monkeypatch.setattr(pretraining_probe, "_run", fake)
    monkeypatch.setattr(
        pretraining_probe, "run_pinned", lambda work, jobs: not work(0)
    )
    monkeypatch.setattr(sys, "argv", ["", f"--output={tmp_path}"])
    assert pretraining_probe.main() == 0
    settings = pretraining_probe.SETTINGS
    assert len(commands) == 2 * len(settings)
    pretrained, embedded = commands[-2:]
    assert pretrained.augment.crop_min_area == 0.35
    assert embedded.objective.checkpoint == pretrained.run.model_dir
    lines = pretraining_probe.read_scores(tmp_path)
    assert [line["setting"] for line in lines] == settings
    assert json.dumps(lines[0]["top_1"]).count("1.0") == 20
    assert (
        "| 1 | 0.3 | 0.5 |  | 1.000 ± 0.000 | 0.000" in capsys.readouterr().out
    )
    assert pretraining_probe.main() == 0
    assert len(commands) == 2 * len(settings)
