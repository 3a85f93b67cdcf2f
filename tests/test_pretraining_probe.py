"""Short pretrainings compared by probes: what is run, kept and printed."""

import json
import pathlib
import sys

import numpy as np
import tiny

sys.path.append(str(tiny.ROOT / "benchmarks"))
import pretraining_probe  # noqa: E402

from tf_simclr import cli  # noqa: E402


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
    def fake(command: list[str], **_) -> None:
        config = cli.parse_config(command[1:])
        config.check()
        with noted.open("a") as file:
            file.write(json.dumps(command[1:]) + "\n")
        folder = pathlib.Path(config.run.model_dir)
        folder.mkdir()
        if config.run.mode == "embed":
            features, labels = blobs(0.1)
            np.savez(folder / "features.npz", features=features, labels=labels)
        if config.run.mode == "finetune":
            # As if only the seed of the labels were worth something.
            score = 0.5 + 0.1 * config.data.label_seed
            result = {"eval/label_top_1_accuracy": score}
            (folder / "result.json").write_text(json.dumps(result))

    def commands() -> list:
        lines = noted.read_text().splitlines()
        return [cli.parse_config(json.loads(line)) for line in lines]

    monkeypatch.setattr(pretraining_probe.subprocess, "run", fake)
    monkeypatch.setattr(pretraining_probe, "DRAWS", 2)
    output = tmp_path / "probe"
    monkeypatch.setattr(sys, "argv", ["", "--jobs=2", f"--output={output}"])
    assert pretraining_probe.main() == 0
    changes = pretraining_probe.CHANGES
    found = commands()
    assert len(found) == (1 + 1 + 3) * len(changes)
    pretrained, embedded, finetuned = (
        [config for config in found if config.run.mode == mode]
        for mode in ("pretrain", "embed", "finetune")
    )
    assert {x.augment.crop_min_area for x in pretrained} == {0.5, 0.35}
    assert {x.train.train_epochs for x in pretrained} == {6}
    folders = {x.run.model_dir for x in pretrained}
    for later in (embedded, finetuned):
        assert {x.objective.checkpoint for x in later} == folders
        # The network of the weights, and the recipe for the rest.
        assert {x.model.width_multiplier for x in later} == {0.25, 0.5}
        assert {x.optimizer.optimizer for x in later} == {"adam"}
    lines = pretraining_probe.read_scores(output)
    assert {line["flags"] for line in lines} == set(changes.values())
    assert lines[0]["probes"] == [1, 1]
    shown = capsys.readouterr().out
    same = "0.000 ± 0.000"
    row = f"| 1.000 ± 0.000 | {same} | 0.600 ± 0.100 | {same} |"
    assert f"| temperature 0.3 instead of 0.5 {row}" in shown
    assert pretraining_probe.main() == 0
    assert len(commands()) == len(found)
