"""The command line as a user meets it: real processes, files, exit codes."""

import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tiny

from tf_simclr import cli

# Everything a user can do wrong before any training.
MISTAKES = [
    (["--bogus=1"], "Unknown command line flag 'bogus'"),
    (["--resnet_depth=abc"], "--resnet_depth=abc"),
    (["--resnet_depth=19"], "--resnet_depth must be one of 18"),
    (["stray"], "Flags are written --name=value"),
    (["--flagfile=missing.cfg"], "missing.cfg"),
    (["--mode=finetune"], "--checkpoint"),
    (["--mode=distill"], "--teacher"),
    (["--mode=pretrain", "--dataset=no_such"], "no_such"),
    (["--mode=pretrain", "--dataset=missing.npz"], "missing.npz"),
    (["--mode=pretrain", "--train_batch_size=25"], "24 images"),
    (["--mode=pretrain", "--ft_proj_selector=4"], "--ft_proj_selector=4"),
    (["--mode=pretrain", "--labels_per_class=9"], "--labels_per_class=9"),
    (
        ["--mode=finetune", "--from_scratch", "--labels_per_class=9"],
        "--labels_per_class=9 is more than class",
    ),
    (["--mode=pretrain", "--micro_batch_size=3"], "take 2"),
    (
        ["--mode=finetune", "--from_scratch", "--labels_per_class=1"],
        "3 labelled images",
    ),
    (["--mode=finetune", "--checkpoint=nowhere"], "--checkpoint=nowhere"),
    (["--mode=distill", "--teacher=nowhere"], "--teacher=nowhere"),
    (
        ["--mode=distill", "--teacher=nowhere", "--fine_tune_after_block=4"],
        "--fine_tune_after_block is for fine-tuning and has no effect on dist",
    ),
    (
        ["--mode=pipeline", "--finetune_flags=--train_epochs=x"],
        "--train_epochs takes a value of type int",
    ),
    (
        ["--mode=pipeline", "--finetune_flags=--labels_per_class=99"],
        "--labels_per_class=99",
    ),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return tiny.write_npz(tmp_path_factory.mktemp("data"))


def assert_refused(result, message: str) -> None:
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr


@pytest.mark.parametrize("arguments, message", MISTAKES)
def test_mistakes_are_named_and_nothing_is_written(
    tmp_path, dataset, arguments, message, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    flags = [f"--dataset={dataset}", *tiny.FLAGS, "--model_dir=run"]
    assert cli.main(["run.py", *flags, *arguments]) == 2
    errors = capfd.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments, message", MISTAKES[::7])
def test_mistakes_end_a_process_soon(tmp_path, dataset, arguments, message):
    started = time.monotonic()
    flags = [f"--dataset={dataset}", *tiny.FLAGS, "--model_dir=run"]
    result = tiny.run(*flags, *arguments, cwd=tmp_path)
    assert_refused(result, message)
    # TensorFlow's import is most of it; two tests may share the cores.
    assert time.monotonic() - started < 30
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_cannot_be_downloaded(tmp_path):
    result = tiny.run(
        "--mode=pretrain",
        "--dataset=cifar10",
        f"--data_dir={tmp_path / 'data'}",
        f"--model_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 2
    assert "cifar10 is not on disk" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_model_dir_that_cannot_be_written(tmp_path, dataset):
    (tmp_path / "file").write_text("not a folder")
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.FLAGS,
        f"--model_dir={tmp_path / 'file' / 'run'}",
    )
    assert_refused(result, "is not a directory")


def test_help_is_quick_and_exits_with_0():
    for flag in ("--help", "--helpfull"):
        result = tiny.run(flag)
        assert result.returncode == 0
        assert result.stderr == ""
        assert "SimCLRv2" in result.stdout
    assert "--distillation_temperature (float) = 1.0" in result.stdout


def test_help_imports_nothing_large():
    """Imports that take seconds would keep --help from being quick."""
    program = (
        "import sys, run; run.main(['run.py', '--helpfull']);"
        "print(*sorted({'numpy', 'tensorflow', 'tf_keras', 'sklearn'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tiny.ROOT,
        check=True,
    )
    assert result.stderr.strip() == ""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, dataset) -> pathlib.Path:
    model_dir = tmp_path_factory.mktemp("runs") / "pretrained"
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.FLAGS,
        f"--model_dir={model_dir}",
    )
    assert result.returncode == 0, result.stderr
    return model_dir


def test_a_run_leaves_its_files_and_stops_at_its_steps(pretrained):
    record = json.loads((pretrained / "config.json").read_text())
    assert record["stage"] == "pretrain"
    # 24 images x 2 epochs // 8 + 1, the original's formula.
    assert record["derived"]["total_steps"] == 7
    assert record["config"]["resnet_depth"] == 18
    result = json.loads((pretrained / "result.json").read_text())
    assert result["global_step"] == 7
    assert 0 <= result["eval/knn_top_1_accuracy"] <= 1
    assert 0 <= result["eval/label_top_1_accuracy"] <= 1
    assert (pretrained / "result_7.json").exists()
    lines = (pretrained / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    assert metrics[-1]["step"] == 7
    assert {"step", "epoch", "split", "contrast_loss"} <= set(metrics[0])
    labels = json.loads((pretrained / "labels.json").read_text())
    assert len(labels["ids"]) == labels["count"] == 24
    assert list(pretrained.glob("checkpoints/ckpt-7.index"))
    assert list(pretrained.glob("events.out.tfevents.*"))


def test_a_finished_run_says_so(pretrained, dataset):
    before = (pretrained / "result.json").stat().st_mtime_ns
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.FLAGS,
        f"--model_dir={pretrained}",
    )
    assert result.returncode == 0, result.stderr
    assert "nothing left to do" in result.stdout
    assert (pretrained / "result.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change, message",
    [
        (["--width_multiplier=0.1"], "width_multiplier is 0.05, not 0.1"),
        (["--mode=finetune", "--from_scratch"], "stage is 'pretrain'"),
    ],
)
def test_a_model_dir_of_another_run_is_refused(
    pretrained, dataset, change, message
):
    files = {path: path.stat().st_mtime_ns for path in pretrained.rglob("*")}
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.FLAGS,
        f"--model_dir={pretrained}",
        *change,
    )
    assert_refused(result, message)
    after = {path: path.stat().st_mtime_ns for path in pretrained.rglob("*")}
    assert after == files


@pytest.mark.parametrize(
    "change, message",
    [
        (["--resnet_depth=34"], "--resnet_depth contradicts"),
        (["--ft_proj_selector=4"], "lies beyond the projection head"),
    ],
)
def test_flags_that_contradict_the_checkpoint(
    tmp_path, pretrained, dataset, change, message
):
    result = tiny.run(
        "--mode=finetune",
        f"--dataset={dataset}",
        f"--checkpoint={pretrained}",
        "--image_size=8",
        "--train_batch_size=8",
        f"--model_dir={tmp_path / 'run'}",
        *change,
    )
    assert_refused(result, message)
    assert not (tmp_path / "run").exists()


def test_a_pretrained_network_is_no_teacher(tmp_path, pretrained, dataset):
    result = tiny.run(
        "--mode=distill",
        f"--dataset={dataset}",
        *tiny.FLAGS,
        f"--teacher={pretrained}",
        f"--model_dir={tmp_path / 'run'}",
    )
    assert_refused(result, "fine-tune it first")


def test_a_teacher_of_other_classes_is_refused(tmp_path, dataset):
    teacher = tmp_path / "teacher"
    result = tiny.run(
        "--mode=finetune",
        f"--dataset={dataset}",
        "--from_scratch",
        *tiny.FLAGS,
        f"--model_dir={teacher}",
        program=tiny.ONE_BLOCK,
    )
    assert result.returncode == 0, result.stderr
    with np.load(dataset) as archive:
        arrays = dict(archive)
    arrays["y_train"] = np.arange(24) % 4
    other = tmp_path / "other.npz"
    np.savez(other, **arrays)
    result = tiny.run(
        "--mode=distill",
        f"--dataset={other}",
        *tiny.FLAGS,
        f"--teacher={teacher}",
        f"--model_dir={tmp_path / 'run'}",
        program=tiny.ONE_BLOCK,
    )
    assert_refused(result, "classes that the weights in")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_continues(tmp_path, dataset, number):
    model_dir = tmp_path / "run"
    flags = [
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.NETWORK,
        "--train_batch_size=8",
        "--checkpoint_steps=5",
        f"--model_dir={model_dir}",
    ]
    process = subprocess.Popen(
        [
            sys.executable,
            str(tiny.ONE_BLOCK),
            *flags,
            "--train_steps=5000",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while 10 not in tiny.checkpoint_steps(model_dir):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    steps = max(tiny.checkpoint_steps(model_dir))
    if number == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert f"Stopped by SIGTERM after saving step {steps}" in errors
        assert "Traceback" not in errors
    result = tiny.run(
        *flags, f"--train_steps={steps + 3}", program=tiny.ONE_BLOCK
    )
    assert result.returncode == 0, result.stderr
    assert f"Continuing from step {steps}" in result.stdout
    lines = (model_dir / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    train = [line["step"] for line in metrics if line["split"] == "train"]
    assert train == sorted(set(train))
    assert train[-1] == steps + 3


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, dataset):
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={dataset}",
        *tiny.NETWORK,
        "--train_batch_size=8",
        "--train_steps=50",
        "--warmup_epochs=0",
        "--optimizer=momentum",
        "--learning_rate=1e30",
        f"--model_dir={tmp_path / 'run'}",
    )
    assert result.returncode == 1
    # The first update throws the weights far away.
    assert "Not finite at step 2: total_loss" in result.stderr
    assert "learning rate 3.1" in result.stderr
    assert re.search(r"one step before [1-9]", result.stderr)
    assert len(result.stderr.splitlines()) == 1


def test_a_python_without_the_packages_is_named(tmp_path):
    command = [sys.executable, "-S", "-E", str(tiny.RUN), "--help"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "has no package absl: take the environment" in result.stderr
    assert "Traceback" not in result.stderr
