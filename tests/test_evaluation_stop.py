"""Evaluations within a run that are ended, and made up for afterwards."""

import json
import os
import signal

import pytest
import tensorflow as tf
from small_task import events, train
from tiny import checkpoint_steps
from tiny_network import tiny_network

from tf_simclr import manifests
from tf_simclr.evaluation import predict
from tf_simclr.signals import Interrupted, stop_point
from tf_simclr.training.run_dir import RunDirectory

NAME = "eval/label_top_1_accuracy"
SCORES = {4: 0.2, 8: 0.6, 12: 0.4}
# Evaluated at 4, 8 and 12. A checkpoint is due at each of them, at none, and
# at one that is not the best.
INTERVALS = (4, 7, 6)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of this program catches it."""


class Evaluator:
    """Scores of a step; does something else once, in the middle."""

    def __init__(self, folder, at=None, act=None):
        self.folder, self._at, self._act = folder, at, act
        self.called = 0
        self.ended = 0

    def __call__(self):
        self.called += 1
        lines = (self.folder / "metrics.jsonl").read_text().splitlines()
        step = json.loads(lines[-1])["step"]
        if step == self._at:
            self._at = None
            self._act()
        # As after each batch.
        stop_point()
        self.ended += 1
        return {NAME: SCORES[step], "eval/other": step / 100}


def run(folder, interval, evaluator=None, **flags):
    """14 steps in a folder; scores are those of `SCORES`."""
    folder.mkdir(exist_ok=True)
    return train(
        folder,
        steps=14,
        checkpoint_steps=interval,
        keep_checkpoint_max=2,
        log_every_steps=5,
        eval_every_epochs=1,
        evaluator=evaluator or Evaluator(folder),
        **flags,
    )


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def kill():
    raise Killed


@pytest.fixture(scope="module", params=INTERVALS)
def undisturbed(request, tmp_path_factory):
    """(interval, folder, weights) of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return request.param, folder, run(folder, request.param)


def state(folder):
    """All that must not depend on what happened to a run."""
    checkpoints = str(folder / "checkpoints")
    found = [
        manifests.read_manifest(checkpoints, step)
        for step in manifests.manifest_steps(checkpoints)
    ]
    return {
        "files": [
            (folder / name).read_text()
            for name in ("metrics.jsonl", "best.json", "checkpoints/checkpoint")
        ],
        "checkpoints": [(m.step, m.score, m.planned, m.sums) for m in found],
        "events": [events(folder / run) for run in (".", "evaluation")],
    }


@pytest.mark.parametrize("step", [4, 8])
@pytest.mark.parametrize("act", [terminate, kill])
def test_an_evaluation_that_is_ended_is_made_up_for(
    tmp_path, undisturbed, step, act
):
    interval, expected_folder, expected = undisturbed
    folder = tmp_path / "run"
    folder.mkdir()
    evaluator = Evaluator(folder, step, act)
    with pytest.raises((Interrupted, Killed)) as error:
        run(folder, interval, evaluator)
    # The signal ended it: it has not come to its end.
    assert evaluator.ended == evaluator.called - 1
    if act is terminate:
        assert f"after saving step {step};" in str(error.value)
        assert (folder / "checkpoints" / f"ckpt-{step}.index").exists()
    again = Evaluator(folder)
    assert run(folder, interval, again) == expected
    assert state(folder) == state(expected_folder)
    # Made up for once: a third start has nothing left to evaluate.
    again.called = 0
    run(folder, interval, again)
    assert again.called == 0


@pytest.mark.parametrize("step", [4, 8])
def test_a_process_killed_before_it_noted_the_scores(
    tmp_path, undisturbed, monkeypatch, step
):
    interval, expected_folder, expected = undisturbed
    folder = tmp_path / "run"
    append = RunDirectory.append_metrics

    def patched(self, at, epoch, split, metrics):
        if (at, split) == (step, "eval"):
            raise Killed
        append(self, at, epoch, split, metrics)

    with monkeypatch.context() as patches, pytest.raises(Killed):
        patches.setattr(RunDirectory, "append_metrics", patched)
        run(folder, interval)
    assert run(folder, interval) == expected
    assert state(folder) == state(expected_folder)


def test_a_due_checkpoint_is_there_before_its_evaluation(tmp_path):
    seen = []

    def look():
        seen.extend(checkpoint_steps(tmp_path))

    run(tmp_path, 4, Evaluator(tmp_path, 8, look))
    assert seen == [4, 8]


def test_an_evaluation_ends_at_its_next_batch(tmp_path, monkeypatch):
    network = tiny_network(classes=3)
    predictor = predict.Predictor(
        network, ["logits"], image_size=8, batch_size=1
    )
    images = tf.zeros([1, 8, 8, 3])
    seen = []

    def batches(images, *_):
        def numbered():
            for number in range(20):
                seen.append(number)
                if number == 3:
                    terminate()
                yield {"image": images, "label": tf.constant([0])}

        return numbered()

    monkeypatch.setattr(predict, "evaluation_batches", batches)
    with pytest.raises(Interrupted):
        run(tmp_path, 4, lambda: predictor(images))
    assert seen[-1] == 3


def test_devices_that_share_a_run_make_up_for_it_too(tmp_path, two_replicas):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected = run(whole, 6, strategy=two_replicas)
    parts.mkdir()
    with pytest.raises(Interrupted):
        run(parts, 6, Evaluator(parts, 8, terminate), strategy=two_replicas)
    assert run(parts, 6, strategy=two_replicas) == expected
    assert state(parts) == state(whole)
