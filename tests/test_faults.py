"""Failures of a run, really made to happen."""

import json
import os
import signal
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from small_task import Batches, at_step, events, metrics, train

from tf_simclr.errors import UserError
from tf_simclr.signals import Interrupted, TrainingFailed
from tf_simclr.training.failures import explain
from tf_simclr.training.run_dir import check_writable

NEWEST = "checkpoints/ckpt-12"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder and the weights of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return folder, train(folder)


def assert_same(folder, weights, undisturbed):
    expected_folder, expected = undisturbed
    assert weights == expected
    for name in ("metrics.jsonl", "checkpoints/checkpoint"):
        found = (folder / name).read_text()
        assert found == (expected_folder / name).read_text()
    assert events(folder) == events(expected_folder)


def contents(folder, pattern):
    return {path: path.read_bytes() for path in folder.glob(pattern)}


@pytest.mark.parametrize(
    "step, number",
    [
        (1, signal.SIGTERM),
        (2, signal.SIGINT),
        (3, signal.SIGTERM),
        (5, signal.SIGTERM),
        (12, signal.SIGTERM),
    ],
)
def test_a_signal_saves_and_leaves_no_trace(
    tmp_path, monkeypatch, undisturbed, step, number
):
    stop = lambda: os.kill(os.getpid(), number)  # noqa: E731
    with at_step(monkeypatch, step, stop), pytest.raises(Interrupted) as error:
        train(tmp_path)
    assert f"after saving step {step};" in str(error.value)
    assert error.value.signal_number == number
    assert_same(tmp_path, train(tmp_path), undisturbed)


def test_two_devices_stop_and_go_on_as_one_run(
    tmp_path, monkeypatch, two_replicas
):
    flags = {"strategy": two_replicas, "batches": Batches(poisoned=[13])}
    flags["recover_from_nan"] = 1
    expected = train(tmp_path / "whole", **flags)
    stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with at_step(monkeypatch, 5, stop), pytest.raises(Interrupted):
        train(tmp_path / "parts", **flags)
    assert train(tmp_path / "parts", **flags) == expected
    texts = [
        (tmp_path / name / "metrics.jsonl").read_text()
        for name in ("whole", "parts")
    ]
    assert texts[0] == texts[1]
    # Two shares of a batch: the seventh step's second one was poisoned.
    recoveries = (tmp_path / "whole" / "recoveries.json").read_text()
    assert '"step": 7' in recoveries


def test_the_gradient_norm_is_that_of_the_whole_batch(tmp_path, two_replicas):
    # Batches of equal images, and so equal gradients on both devices.
    class Equal(Batches):
        def dataset(self, batch_size, start_step, stop_step, *_, **__):
            dataset = super().dataset(batch_size, start_step, stop_step)
            return dataset.map(
                lambda b: tf.nest.map_structure(tf.zeros_like, b)
            )

    norms = [
        metrics(tmp_path / name, "gradient_norm")
        for name, strategy in (("one", None), ("two", two_replicas))
        if train(tmp_path / name, steps=3, strategy=strategy, batches=Equal())
    ]
    assert norms[0] == pytest.approx(norms[1])


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "suffix, harm, reason",
    [
        (".data-00000-of-00001", damage, "is damaged: its crc32 is"),
        (".index", damage, "is damaged: its crc32 is"),
        (".data-00000-of-00001", truncate, "is damaged: its bytes is"),
        (".index", os.remove, "is missing"),
        (".manifest.json", os.remove, "ckpt-12 is incomplete"),
        (".manifest.json", truncate, ""),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path, capsys, undisturbed, suffix, harm, reason
):
    train(tmp_path)
    path = tmp_path / (NEWEST + suffix)
    harm(path)
    capsys.readouterr()
    weights = train(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    if reason:
        assert reason in lines[0] and "ckpt-12" in lines[0]
        assert lines[0].endswith("Going back to ckpt-10.")
        assert lines[1].startswith("Continuing from step 10 of 12")
    assert_same(tmp_path, weights, undisturbed)


def test_without_any_usable_checkpoint_nothing_starts_anew(tmp_path):
    train(tmp_path, steps=2)
    damage(tmp_path / "checkpoints" / "ckpt-2.index")
    before = contents(tmp_path, "checkpoints/*")
    with pytest.raises(UserError, match="put its files back"):
        train(tmp_path)
    assert contents(tmp_path, "checkpoints/*") == before


def test_what_a_killed_process_left_is_cut_off(tmp_path, undisturbed):
    train(tmp_path)
    # Killed while it wrote step 12: a torn line, event and checkpoint.
    (tmp_path / f"{NEWEST}.manifest.json").unlink()
    (tmp_path / "checkpoints" / "ckpt-12_temp").mkdir()
    (tmp_path / "checkpoints" / ".writing-ckpt-12.manifest.json-x").mkdir()
    for pattern in ("metrics.jsonl", "events.*"):
        for path in tmp_path.glob(pattern):
            truncate(path)
    assert_same(tmp_path, train(tmp_path), undisturbed)
    assert not list((tmp_path / "checkpoints").glob("*temp"))
    assert not list((tmp_path / "checkpoints").glob(".writing*"))


def test_checkpoints_of_earlier_versions_are_taken(
    tmp_path, capsys, undisturbed
):
    train(tmp_path)
    for path in tmp_path.glob("checkpoints/*.manifest.json"):
        path.unlink()
    state = tmp_path / "checkpoints" / "checkpoint"
    state.write_text(state.read_text().replace("ckpt-12", "ckpt-8", 1))
    capsys.readouterr()
    weights = train(tmp_path)
    assert "ckpt-8 has no manifest" in capsys.readouterr().out
    assert weights == undisturbed[1]


def test_a_nan_batch_is_named_and_nothing_of_it_is_kept(tmp_path):
    # Batch 6 is that of step 7.
    batches = Batches(poisoned=[6])
    with pytest.raises(TrainingFailed) as error:
        train(tmp_path, batches=batches)
    message = str(error.value)
    assert message.startswith("Not finite at step 7: total_loss, batch, grad")
    assert "learning rate 0.005" in message
    assert "gradient norm nan, one step before " in message
    assert f"{tmp_path}/checkpoints/ckpt-6, is untouched" in message
    assert max(metrics(tmp_path, "total_loss")) == 6
    before = contents(tmp_path, "checkpoints/*")
    assert not any("ckpt-8" in path.name for path in before)
    with pytest.raises(TrainingFailed, match="at step 7"):
        train(tmp_path, batches=batches)
    assert contents(tmp_path, "checkpoints/*") == before


def test_weights_that_overflow_are_not_saved(tmp_path):
    # Finite figures, but the update is not.
    with pytest.raises(TrainingFailed, match="a weight after the update"):
        train(tmp_path, rate=1e38, checkpoint_steps=1, log_every_steps=1)
    # The learning rate of step 1, the warm-up's, is 0.
    [saved] = tmp_path.glob("checkpoints/*.manifest.json")
    assert saved.name == "ckpt-1.manifest.json"


def test_recovery_goes_around_the_batch(tmp_path, capsys):
    poisoned = Batches(poisoned=[0, 6])
    weights = train(
        tmp_path, batches=poisoned, recover_from_nan=2, log_every_steps=1
    )
    used = [round(v) for v in metrics(tmp_path, "batch").values()]
    assert used == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13]
    made = json.loads((tmp_path / "recoveries.json").read_text())
    assert [(m["step"], m["batch"]) for m in made] == [(1, 0), (6, 6)]
    assert made[1]["gradient_norm"] == "nan"
    # Step 0 was gone through twice.
    assert [tag for step, tag, _ in events(tmp_path) if step == 0] == ["views"]
    assert "leaving out batch 6 (2 of 2 times)" in capsys.readouterr().out
    assert np.isfinite(weights).all()


def test_a_resumed_run_leaves_out_the_same_batches(tmp_path, monkeypatch):
    flags = {"batches": Batches(poisoned=[6]), "recover_from_nan": 1}
    expected = train(tmp_path / "whole", **flags)
    stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with at_step(monkeypatch, 9, stop), pytest.raises(Interrupted):
        train(tmp_path / "parts", **flags)
    assert train(tmp_path / "parts", **flags) == expected
    whole, parts = (tmp_path / name for name in ("whole", "parts"))
    for name in ("metrics.jsonl", "recoveries.json"):
        assert (whole / name).read_text() == (parts / name).read_text()
    assert events(whole) == events(parts)


def test_recoveries_are_counted_over_all_starts(tmp_path):
    batches = Batches(poisoned=[4, 9])
    for _ in range(2):
        with pytest.raises(TrainingFailed, match="at step 9"):
            train(tmp_path, batches=batches, recover_from_nan=1)
    train(tmp_path, batches=batches, recover_from_nan=2)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder):
    with (
        (folder / "filler").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        while True:
            file.write(b"0" * 1000)


def failure(error: Exception) -> str:
    """Output of run.py."""
    if isinstance(error, TrainingFailed):
        return str(error)
    return explain(error)


@pytest.mark.parametrize("step", [1, 2])
def test_a_full_disk(small_disk, monkeypatch, undisturbed, step):
    # After step 1 the checkpoint of step 2 meets it, after step 2 the
    # metrics of step 3 do.
    before = {}

    def act():
        before.update(contents(small_disk, "checkpoints/*"))
        fill(small_disk)

    with at_step(monkeypatch, step, act), pytest.raises(Exception) as caught:
        train(small_disk)
    assert "No space left on device" in failure(caught.value)
    assert contents(small_disk, "checkpoints/*") == before
    (small_disk / "filler").unlink()
    assert_same(small_disk, train(small_disk), undisturbed)


def test_a_disk_that_becomes_read_only(small_disk, monkeypatch, undisturbed):
    remount = ["mount", "-o", "remount", str(small_disk)]

    def protect():
        subprocess.run([*remount, "-o", "ro"], check=True)

    # Nobody may hold a file open for writing then.
    monkeypatch.setattr(
        tf.summary,
        "create_file_writer",
        lambda _: tf.summary.create_noop_writer(),
    )
    with at_step(monkeypatch, 3, protect), pytest.raises(Exception) as caught:
        train(small_disk)
    monkeypatch.undo()
    assert "Read-only file system" in failure(caught.value)
    with pytest.raises(UserError, match="Received: Read-only file system"):
        check_writable(str(small_disk / "run"))
    subprocess.run([*remount, "-o", "rw"], check=True)
    assert train(small_disk) == undisturbed[1]


def test_a_data_file_that_vanishes(tmp_path, monkeypatch, undisturbed):
    files = tmp_path / "images"
    files.mkdir()
    for number in range(20):
        (files / f"{number}.txt").write_text("0")

    def reading(dataset):
        def load(number, batch):
            name = tf.strings.join([str(files), "/", number, ".txt"])
            nothing = tf.strings.to_number(tf.io.read_file(name))
            return {key: value + nothing for key, value in batch.items()}

        numbers = tf.data.Dataset.range(20).map(tf.strings.as_string)
        return tf.data.Dataset.zip(numbers, dataset).map(load)

    folder = tmp_path / "run"
    batches = Batches(replace=reading)
    file = files / "11.txt"
    with (
        at_step(monkeypatch, 2, file.unlink),
        pytest.raises(tf.errors.OpError) as caught,
    ):
        train(folder, batches=batches)
    message = explain(caught.value)
    assert "A data file has vanished" in message and str(file) in message
    assert len(message.splitlines()) == 1
    assert_same(folder, train(folder), undisturbed)


def test_a_library_of_cuda_that_xla_does_not_find():
    error = tf.errors.InternalError(
        None, None, "libdevice not found at ./libdevice.10.bc [Op:__inference]"
    )
    message = explain(error)
    assert "pip install -r requirements-gpu.txt" in message
    assert "without --jit_compile" in message
    assert len(message.splitlines()) == 1
