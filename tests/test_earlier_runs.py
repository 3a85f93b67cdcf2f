"""Runs that an earlier version wrote still load and resume."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr import cli

RUNS = pathlib.Path(__file__).parent / "earlier_runs"
# Only told on resume, and for the whole process.
FLAGS = [*tiny.NETWORK, "--dataset=tiny.npz", "--train_batch_size=8"]
FLAGS += ["--warmup_epochs=0", "--strategy=one_device"]
SCHEDULE = ["--train_epochs=4", "--checkpoint_steps=5", "--log_every_steps=4"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Copies of the runs, in the working directory beside their images."""
    shutil.copytree(RUNS, tmp_path, dirs_exist_ok=True)
    tiny.write_npz(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*flags):
    return cli.main(["run.py", *flags])


def tensors(path):
    reader = tf.train.load_checkpoint(str(path))
    names = reader.get_variable_to_shape_map()
    return {
        name: reader.get_tensor(name)
        for name in names
        if name.startswith(("network/", "optimizer/"))
    }


def test_an_interrupted_run_ends_as_the_undisturbed_one(runs, capsys):
    flags = [*FLAGS, *SCHEDULE, "--model_dir=interrupted"]
    assert call("--mode=pretrain", *flags) == 0
    assert "Continuing from step 10 of 13" in capsys.readouterr().out
    found = tensors(runs / "interrupted/checkpoints/ckpt-13")
    wanted = tensors(runs / "pretrained/checkpoints/ckpt-13")
    assert set(wanted) <= set(found)
    for name, value in wanted.items():
        scale = np.abs(value).max() + 1e-6
        np.testing.assert_allclose(
            found[name] / scale, value / scale, atol=1e-3, err_msg=name
        )


def test_a_run_with_a_memory_resumes(runs, capsys):
    flags = [*FLAGS, *SCHEDULE, "--memory_size=16", "--model_dir=with_memory"]
    assert call("--mode=pretrain", *flags) == 0
    assert "Continuing from step 10 of 13" in capsys.readouterr().out


def test_sums_in_another_meaning_are_not_mixed(runs, capsys):
    flags = [*FLAGS, "--width_multiplier=0.03", "--model_dir=student"]
    flags += ["--teacher=finetuned", "--labels_per_class=1"]
    flags += ["--distillation_alpha=0.5", "--train_steps=258"]
    assert call("--mode=distill", *flags, "--log_every_steps=300") == 0
    assert "Continuing from step 256 of 258" in capsys.readouterr().out
    lines = (runs / "student/metrics.jsonl").read_text().splitlines()
    logged = json.loads(lines[0])
    assert 0 <= logged.get("supervised_acc", 0) <= 1
    assert 0 <= logged.get("supervised_loss", 0) <= 3


def test_a_finished_run_is_evaluated_and_finished(runs, capsys):
    assert call("--mode=eval", "--model_dir=finetuned") == 0
    result = json.loads((runs / "finetuned/result.json").read_text())
    before = json.loads((RUNS / "finetuned/result.json").read_text())
    name = "eval/label_top_1_accuracy"
    assert result[name] == pytest.approx(before[name], abs=0.15)
    flags = ["--checkpoint=pretrained", "--labels_per_class=6"]
    flags += ["--ft_proj_selector=1", "--model_dir=finetuned"]
    capsys.readouterr()
    assert call("--mode=finetune", *FLAGS, *SCHEDULE, *flags) == 0
    assert "nothing left to do" in capsys.readouterr().out


def test_images_of_the_same_relative_path_are_not_scored(
    runs, tmp_path, monkeypatch, capfd
):
    for name in ("nothing", "other"):
        (tmp_path / name).mkdir()
    with np.load("tiny.npz") as archive:
        arrays = dict(archive)
    arrays["y_train"] = (arrays["y_train"] + 1) % 3
    np.savez(tmp_path / "other" / "tiny.npz", **arrays)
    flags = [f"--checkpoint={runs / 'finetuned'}", "--model_dir=scored"]
    for place, told in (
        ("nothing", "relative to the directory that it was started in"),
        ("other", "another dataset of that name (24 then, 24 now"),
    ):
        monkeypatch.chdir(tmp_path / place)
        assert call("--mode=eval", *flags) == 2
        message = " ".join(capfd.readouterr().err.split())
        assert told in message and "give --dataset." in message
        assert not (tmp_path / place / "scored").exists()
    # What is asked for is taken.
    assert call("--mode=eval", *flags, "--dataset=tiny.npz") == 0
