"""Batches from a tf.data service: the same, even if a worker is killed."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr.data import service
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import RecordPixels
from tf_simclr.errors import UserError
from tf_simclr.training.distributed_input import check_servable

STEPS = 80
FLAGS = [
    *tiny.FLAGS,
    "--mode=pretrain",
    "--deterministic",
    f"--train_steps={STEPS}",
    f"--checkpoint_steps={STEPS}",
    "--log_every_steps=5",
]


@contextlib.contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process of the service, and the line that it says when it is up."""
    with subprocess.Popen(
        [sys.executable, "-m", "tf_simclr.data.service", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tiny.ROOT,
    ) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.terminate()


def training(*flags: str) -> subprocess.Popen:
    """A run of a ResNet with one block."""
    return subprocess.Popen(
        [sys.executable, str(tiny.ONE_BLOCK), *flags],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )


def weights(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a run's last checkpoint."""
    prefix = str(folder / "checkpoints" / f"ckpt-{STEPS}")
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if not n.startswith("_")}


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path):
    flags = [*FLAGS, f"--dataset={tiny.write_npz(tmp_path)}"]
    folder = tmp_path / "served"
    with contextlib.ExitStack() as stack:
        alone = stack.enter_context(
            training(*flags, f"--model_dir={tmp_path / 'alone'}")
        )
        _, line = stack.enter_context(serving("dispatcher", "--port=0"))
        port = line.rpartition(":")[2]
        worker = [
            "worker",
            f"--dispatcher=localhost:{port}",
            "--host=localhost",
        ]
        (victim, _), (other, said) = (
            stack.enter_context(serving(*worker)) for _ in range(2)
        )
        assert said == f"serving localhost:{port}"
        served = stack.enter_context(
            training(
                *flags,
                f"--model_dir={folder}",
                f"--data_service=grpc://localhost:{port}",
            )
        )
        log, deadline = folder / "metrics.jsonl", time.monotonic() + 120
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        victim.kill()
        lines = len(log.read_text().splitlines())
        for process in (served, alone):
            _, errors = process.communicate(timeout=200)
            assert process.returncode == 0, errors
        assert other.poll() is None
    # It was killed while the others were needed.
    assert lines < STEPS / 5
    expected, found = weights(tmp_path / "alone"), weights(folder)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["worker", "--dispatcher=5050"], "--dispatcher is written HOST:PORT"),
        (
            ["worker", "--dispatcher=localhost:1"],
            "Nobody answers at localhost:1: start the dispatcher",
        ),
        (["dispatcher", "--port=1000000"], "--port=1000000"),
    ],
)
def test_mistakes_are_one_sentence(arguments, message, capsys):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert service.main(arguments) == 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1


def test_shards_are_refused(tmp_path):
    pixels = RecordPixels(
        ("a.tfrecord",), *np.zeros([3, 5], np.int64), feature="image"
    )
    images = ImageSet("train", pixels, np.zeros(5, np.int32), (), ())
    with pytest.raises(UserError, match="does not read TFRecord shards"):
        check_servable(images)


@pytest.mark.parametrize(
    "handler, sent, expected",
    [
        (signal.SIG_DFL, [signal.SIGHUP], signal.SIGHUP),
        # As under nohup.
        (signal.SIG_IGN, [signal.SIGHUP, signal.SIGTERM], signal.SIGTERM),
    ],
)
def test_a_closed_terminal_ends_a_server(monkeypatch, handler, sent, expected):
    def start(_):
        # To this thread: another one would let it end the process.
        for number in sent:
            signal.pthread_kill(threading.get_ident(), number)

    monkeypatch.setattr(service, "_start", start)
    before = signal.signal(signal.SIGHUP, handler)
    try:
        assert service.main(["dispatcher"]) == 128 + expected
    finally:
        signal.signal(signal.SIGHUP, before)
