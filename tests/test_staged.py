"""Runs on object storage: killed, resumed, read by other machines."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny
from storage_faults import bucket

import tf_simclr as ts
from tf_simclr import cli
from tf_simclr.config import Config
from tf_simclr.errors import UserError
from tf_simclr.keras_compat import OBJECT_GRAPH_KEY
from tf_simclr.storage import objects
from tf_simclr.storage.staged import with_local_files

pytestmark = pytest.mark.usefixtures("one_block")

FLAGS = {
    "resnet_depth": 18,
    "width_multiplier": 0.05,
    "image_size": 8,
    "proj_out_dim": 16,
    "color_jitter_strength": 0.0,
    "export": False,
    "train_batch_size": 6,
    "train_epochs": 2,
    "warmup_epochs": 0,
    "checkpoint_steps": 2,
}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images in a bucket, and as a local file."""
    local = tiny.write_npz(tmp_path_factory.mktemp("images"))
    place = f"{bucket()}/tiny.npz"
    objects.upload(local, place)
    return place, local


def weights(folder, step):
    reader = tf.train.load_checkpoint(f"{folder}/checkpoints/ckpt-{step}")
    return {
        key: reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        # Names of objects, which count what a process has built.
        if key != OBJECT_GRAPH_KEY
    }


def assert_same_weights(first, second, step):
    one, two = weights(first, step), weights(second, step)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert np.array_equal(value, two[key]), key


def test_killed_and_resumed_elsewhere_it_ends_with_the_same_weights(tmp_path):
    # Determinism, once asked for, holds for a whole process.
    program = tiny.ROOT / "tests" / "storage_resume.py"
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "same weights"


def test_other_modes_read_a_run_and_its_images_by_their_addresses(
    images, tmp_path
):
    place, _ = images
    scratch = str(tmp_path / "scratch")
    pretrained, finetuned = (f"{bucket()}/{name}" for name in ("pre", "fine"))
    ts.pretrain(
        dataset=place, model_dir=pretrained, scratch_dir=scratch, **FLAGS
    )
    ts.finetune(
        dataset=place,
        model_dir=finetuned,
        checkpoint=pretrained,
        labels_per_class=2,
        scratch_dir=scratch,
        **FLAGS,
    )
    # The dataset is the one that the run names.
    elsewhere = str(tmp_path / "elsewhere")
    scores = ts.evaluate(finetuned, scratch_dir=elsewhere)
    stored = json.loads(objects.read(f"{finetuned}/result.json"))
    name = "eval/label_top_1_accuracy"
    assert scores[name] == stored[name]
    copied = list(pathlib.Path(elsewhere).rglob("tiny.npz"))
    assert len(copied) == 1
    model = ts.load(f"{finetuned}/checkpoints/ckpt-3", scratch_dir=elsewhere)
    assert model.classes == ("0", "1", "2")
    path = ts.export(finetuned, finetuned, scratch_dir=elsewhere)
    assert path == f"{finetuned}/saved_model/3"
    assert objects.exists(f"{path}/saved_model.pb")
    student = ts.distill(
        dataset=place,
        teacher=finetuned,
        model_dir=f"{bucket()}/student",
        scratch_dir=scratch,
        **FLAGS,
    )
    assert student.model.classes == ("0", "1", "2")


def test_a_table_of_runs_takes_their_small_files(images, tmp_path, capsys):
    place, _ = images
    runs, scratch = bucket(), tmp_path / "scratch"
    ts.pretrain(
        dataset=place,
        model_dir=f"{runs}/first",
        scratch_dir=str(tmp_path / "elsewhere"),
        **FLAGS,
    )
    flags = [f"--model_dir={runs}", f"--scratch_dir={scratch}"]
    assert cli.main(["run.py", "--mode=runs", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    # Its size is not known: large files are not copied.
    assert any(x.startswith("first") and x.endswith("-") for x in lines)
    copied = [path.name for path in scratch.rglob("*") if path.is_file()]
    assert "metrics.jsonl" in copied
    assert not any("data-00000" in name for name in copied)


def config(**flags):
    return Config.from_flags([f"--{k}={v}" for k, v in flags.items()])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"mode": "label", "model_dir": "gs://b/r"}, "each click on a disk"),
        (
            {"mode": "pretrain", "model_dir": "s3://b/r"},
            "TensorFlow reads .*Received: --model_dir=s3://b/r",
        ),
        (
            {
                "mode": "pretrain",
                "model_dir": "x",
                "prepare_cache": "gs://b/c",
                "dataset": "d",
            },
            "--prepare_cache takes a folder",
        ),
        (
            {"mode": "pretrain", "model_dir": "x", "dataset": "ram://none"},
            "--dataset: there is no object",
        ),
    ],
)
def test_what_cannot_be_is_refused(flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        with_local_files(lambda config: None, config(**flags))


def test_several_machines_want_a_folder(monkeypatch):
    cluster = {"cluster": {"worker": ["a:1", "b:1"]}}
    cluster["task"] = {"type": "worker", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    with pytest.raises(UserError, match="one folder that all of them see"):
        with_local_files(
            lambda config: None, config(mode="pretrain", model_dir="gs://b/r")
        )


def test_a_mode_copies_only_what_it_reads(tmp_path):
    # Predictions do not open the data set of the flag file.
    flags = {"mode": "predict", "model_dir": str(tmp_path), "images": "x"}
    base = config(**flags, dataset="ram://nowhere/at/all")
    seen = []
    with_local_files(seen.append, base)
    assert seen == [base]


def test_a_scratch_folder_without_an_address_is_refused():
    with pytest.raises(UserError, match="--scratch_dir has no effect without"):
        config(
            mode="pretrain", model_dir="x", scratch_dir="y", dataset="digits"
        ).check()
    config(mode="pretrain", model_dir="gs://b/r", scratch_dir="y").check()


def test_the_command_line_names_a_failure(monkeypatch, capsys, tmp_path):
    def denied(*args):
        raise tf.errors.PermissionDeniedError(None, None, "403 for you")

    monkeypatch.setattr(objects.tf.io.gfile, "GFile", denied)
    code = cli.main(
        [
            "run.py",
            "--mode=pretrain",
            "--model_dir=ram://b/r",
            f"--scratch_dir={tmp_path}",
            "--dataset=digits",
        ]
    )
    assert code == 1
    assert "cannot read ram://b/r/.lease.json: 403" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_process_is_followed_by_one_on_another_machine(tmp_path):
    dataset = tiny.write_npz(tmp_path)
    flags = [
        *("--mode=pretrain", *tiny.NETWORK, "--train_batch_size=8"),
        *("--train_steps=600", "--warmup_epochs=0", "--checkpoint_steps=100"),
        *("--deterministic", f"--dataset=file://{dataset}"),
    ]
    whole, run = tmp_path / "whole", tmp_path / "bucket" / "run"
    done = tiny.run(
        *flags,
        f"--model_dir={whole}",
        f"--scratch_dir={tmp_path / 'a'}",
        program=tiny.ONE_BLOCK,
    )
    assert done.returncode == 0, done.stderr
    command = [sys.executable, str(tiny.ONE_BLOCK), *flags]
    command.append(f"--model_dir=file://{run}")
    process = subprocess.Popen(
        [*command, f"--scratch_dir={tmp_path / 'b'}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": ""},
    )
    end = time.monotonic() + 120
    while not tiny.checkpoint_steps(run) and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (run / "result.json").exists()
    found = tiny.run(
        *command[2:],
        f"--scratch_dir={tmp_path / 'c'}",
        program=tiny.ONE_BLOCK,
    )
    assert found.returncode == 0, found.stderr
    assert "was left behind by process" in found.stdout
    assert "Continuing from step" in found.stdout
    assert_same_weights(whole, run, 600)
    assert (run / "metrics.jsonl").read_text() == (
        whole / "metrics.jsonl"
    ).read_text()
