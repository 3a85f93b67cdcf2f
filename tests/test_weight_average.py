"""The moving average of the weights, in place of them."""

import os
import signal

import numpy as np
import pytest
import small_task
import tensorflow as tf
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.modes.execute import run_stage
from tf_simclr.signals import Interrupted
from tf_simclr.training.weight_average import WeightAverage


def stored(folder, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The network's weights in a checkpoint of `small_task`, and what the
    average keeps."""
    reader = tf.train.load_checkpoint(f"{folder}/checkpoints/ckpt-{step}")
    keys = reader.get_variable_to_shape_map()
    found = {
        key.split("/")[0]: reader.get_tensor(key)
        for key in keys
        if "kernel" in key and "OPTIMIZER" not in key and "optimizer" not in key
    }
    return found["network"].ravel(), found["weight_ema"].ravel()


def test_the_average_is_its_closed_form():
    weight = tf.Variable([1.0, 2.0])
    average = WeightAverage(
        {"w": weight}, 0.3, tf.distribute.OneDeviceStrategy("/cpu:0")
    )
    expected, values = weight.numpy(), [[3.0, 0.0], [4.0, 5.0], [-1.0, 7.0]]
    for count, value in enumerate(values):
        weight.assign(value)
        average.update()
        decay = min(0.3, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * np.array(value)
    # The first two decays are 1 / 10 and 2 / 11.
    with average.exchanged():
        assert np.allclose(weight.numpy(), expected, atol=1e-6)
        with average.exchanged():
            assert np.allclose(weight.numpy(), values[-1])
        assert np.allclose(weight.numpy(), expected, atol=1e-6)
    assert np.allclose(weight.numpy(), values[-1])


def test_checkpoints_hold_the_average_and_scores_are_its(tmp_path):
    plain = small_task.train(
        tmp_path / "plain",
        steps=6,
        checkpoint_steps=1,
        keep_checkpoint_max=6,
    )
    steps = [stored_plain(tmp_path / "plain", step) for step in range(1, 7)]
    expected = np.ones(3)
    for count, weights in enumerate(steps):
        decay = min(0.5, (1 + count) / (10 + count))
        expected = decay * expected + (1 - decay) * weights
    ends = small_task.train(
        tmp_path / "run", steps=6, checkpoint_steps=3, weight_ema=0.5
    )
    assert np.allclose(ends, expected, atol=1e-5)
    network, kept = stored(tmp_path / "run", 6)
    assert np.allclose(network, expected, atol=1e-5)
    assert np.allclose(kept, plain, atol=1e-6)


def stored_plain(folder, step: int) -> np.ndarray:
    reader = tf.train.load_checkpoint(f"{folder}/checkpoints/ckpt-{step}")
    (key,) = (
        key
        for key in reader.get_variable_to_shape_map()
        if key.startswith("network")
        and "kernel" in key
        and "OPTIMIZER" not in key
    )
    return reader.get_tensor(key).ravel()


def test_a_stopped_run_ends_as_the_undisturbed_one(tmp_path, monkeypatch):
    flags = {"steps": 8, "checkpoint_steps": 4, "weight_ema": 0.9}
    expected = small_task.train(tmp_path / "whole", **flags)
    folder = tmp_path / "stopped"
    stop = lambda: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    with (
        small_task.at_step(monkeypatch, 5, stop),
        pytest.raises(Interrupted),
    ):
        small_task.train(folder, **flags)
    assert small_task.train(folder, **flags) == expected
    for one, other in zip(
        stored(folder, 8), stored(tmp_path / "whole", 8), strict=True
    ):
        assert np.array_equal(one, other)


def test_two_devices_average_as_one(two_replicas):
    with two_replicas.scope():
        weight = tf.Variable([1.0, 2.0])
        average = WeightAverage({"w": weight}, 0.9, two_replicas)
    update = tf.function(average.update, autograph=False)
    expected = weight.numpy()
    for count in range(3):
        weight.assign([float(count), 5.0])
        update()
        decay = (1 + count) / (10 + count)
        expected = decay * expected + (1 - decay) * np.array([count, 5.0])
    with average.exchanged():
        for local in two_replicas.experimental_local_results(weight):
            assert np.allclose(local.numpy(), expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("one_block")
def test_a_run_says_and_stores_what_it_averages(tmp_path, capsys):
    """Its score is that of the network in its checkpoint."""
    flags = parse_overrides(
        f"{' '.join(tiny.FLAGS)} --from_scratch --train_epochs=3"
        " --weight_ema=0.9",
        "flags",
    )
    flags |= {
        "mode": "finetune",
        "dataset": tiny.write_npz(tmp_path),
        "model_dir": str(tmp_path / "run"),
    }
    result = run_stage(from_flat(flags))
    assert (
        "average    of the weights, which is scored" in capsys.readouterr().out
    )
    again = from_flat(
        {
            "mode": "eval",
            "checkpoint": str(tmp_path / "run"),
            "model_dir": str(tmp_path / "scored"),
        }
    )
    from tf_simclr.modes.evaluate import evaluate

    scores = evaluate(again)
    name = "eval/label_top_1_accuracy"
    assert scores[name] == pytest.approx(result[name])
