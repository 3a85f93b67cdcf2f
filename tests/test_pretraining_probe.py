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


def test_changes_are_flags_and_what_is_there_is_not_run_again(
    tmp_path, monkeypatch, capsys
):
    noted = tmp_path / "commands"
    noted.touch()

    # Called in processes of their own.
    def fake(*flags: str) -> None:
        command = ["run.py", f"--flagfile={pretraining_probe.RECIPE}", *flags]
        config = run.parse_config(command)
        config.check()
        with noted.open("a") as file:
            file.write(json.dumps(command) + "\n")
        folder = pathlib.Path(config.run.model_dir)
        folder.mkdir()
        features, labels = blobs(0.1)
        np.savez(folder / "features.npz", features=features, labels=labels)

    def commands() -> list:
        lines = noted.read_text().splitlines()
        return [run.parse_config(json.loads(line)) for line in lines]

    monkeypatch.setattr(pretraining_probe, "_run", fake)
    monkeypatch.setattr(pretraining_probe, "DRAWS", 2)
    output = tmp_path / "probe"
    monkeypatch.setattr(sys, "argv", ["", "--jobs=2", f"--output={output}"])
    assert pretraining_probe.main() == 0
    changes = pretraining_probe.CHANGES
    found = commands()
    assert len(found) == 2 * len(changes)
    pretrained, embedded = (
        [config for config in found if config.run.mode == mode]
        for mode in ("pretrain", "embed")
    )
    assert {x.augment.crop_min_area for x in pretrained} == {0.5, 0.35}
    assert {x.train.train_epochs for x in pretrained} == {6, 12, 24}
    assert {x.objective.checkpoint for x in embedded} == {
        x.run.model_dir for x in pretrained
    }
    lines = pretraining_probe.read_scores(output)
    assert {line["flags"] for line in lines} == set(changes.values())
    assert json.dumps(lines[0]["top_1"]).count("1.0") == 2
    shown = capsys.readouterr().out
    assert "| selective kernels | 1.000 ± 0.000 | 0.000 ± 0.000 |" in shown
    assert pretraining_probe.main() == 0
    assert len(commands()) == len(found)
