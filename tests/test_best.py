"""Early stopping, and the best of a run's evaluations."""

import json
import os
import signal

import pytest
from small_task import train
from tiny import checkpoint_steps

from tf_simclr import manifests
from tf_simclr.signals import Interrupted, stop_point
from tf_simclr.training import loop
from tf_simclr.training.best import EarlyStop, Selection
from tf_simclr.training.run_dir import RunDirectory

F1, OTHER = "eval/macro_f1", "eval/label_top_1_accuracy"
# Evaluated at every fourth step. A score that equals the best is no better.
SCORES = {4: 0.2, 8: 0.6, 12: 0.4, 16: 0.5, 20: 0.6, 24: 0.9, 28: 0.3}
SELECTION = Selection((F1,), {"images": 7}, patience=3)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of this program catches it."""


class Evaluator:
    """Scores of a step; does something else once, in the middle."""

    def __init__(self, folder, at=None, act=None):
        self._folder, self._at, self._act = folder, at, act
        self.steps = []

    def __call__(self):
        lines = (self._folder / "metrics.jsonl").read_text().splitlines()
        step = json.loads(lines[-1])["step"]
        if step == self._at:
            self._at = None
            self._act()
        stop_point()
        self.steps.append(step)
        return {OTHER: -SCORES[step], F1: SCORES[step]}


def run(folder, selection=SELECTION, evaluator=None, *, interval=10, steps=30):
    folder.mkdir(exist_ok=True)
    return train(
        folder,
        steps=steps,
        checkpoint_steps=interval,
        keep_checkpoint_max=1,
        log_every_steps=5,
        eval_every_epochs=1,
        evaluator=evaluator or Evaluator(folder),
        selection=selection,
    )


def state(folder):
    """All that must not depend on what happened to a run."""
    checkpoints = str(folder / "checkpoints")
    names = ("metrics.jsonl", "best.json", "early_stop.json")
    found = [
        manifests.read_manifest(checkpoints, step)
        for step in manifests.manifest_steps(checkpoints)
    ]
    return (
        [(folder / name).read_text() for name in names],
        [(m.step, m.score, m.planned, m.sums) for m in found],
    )


@pytest.fixture(scope="module", params=[4, 10])
def stopped(request, tmp_path_factory):
    """(interval of checkpoints, folder, weights) of a run that nothing
    happened to but its early end."""
    folder = tmp_path_factory.mktemp("stopped")
    return request.param, folder, run(folder, interval=request.param)


def test_a_run_ends_after_evaluations_none_of_which_is_better(stopped):
    _, folder, _ = stopped
    assert checkpoint_steps(folder) == [8, 20]
    best = json.loads((folder / "best.json").read_text())
    assert (best["step"], best[F1]) == (8, 0.6)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 20
    score = manifests.read_manifest(str(folder / "checkpoints"), 20).score
    assert score == {F1: 0.6}
    begun = json.loads((folder / "early_stop.json").read_text())
    assert begun == {"since": 0, "by": [F1], "of": {"images": 7}}


@pytest.mark.parametrize("step", [8, 16, 20])
@pytest.mark.parametrize("kind", ["killed", "asked"])
def test_a_run_that_is_ended_on_the_way_ends_at_the_same_step(
    tmp_path, stopped, step, kind
):
    def act():
        if kind == "killed":
            raise Killed
        os.kill(os.getpid(), signal.SIGTERM)

    interval, expected_folder, expected = stopped
    folder = tmp_path / "run"
    with pytest.raises((Killed, Interrupted)):
        run(folder, SELECTION, Evaluator(folder, step, act), interval=interval)
    assert run(folder, interval=interval) == expected
    assert state(folder) == state(expected_folder)


def test_a_process_killed_before_it_saved_its_end(
    tmp_path, stopped, monkeypatch
):
    interval, expected_folder, expected = stopped
    folder = tmp_path / "run"

    def killed(self):
        raise Killed

    with monkeypatch.context() as patches, pytest.raises(Killed):
        # The last evaluation has been recorded.
        patches.setattr(
            loop._Training,
            "_ends_early",
            lambda self: self._exhausted and killed(self),
        )
        run(folder, interval=interval)
    assert run(folder, interval=interval) == expected
    assert state(folder) == state(expected_folder)


def test_a_run_that_has_ended_early_does_so_again(tmp_path, capsys):
    weights = run(tmp_path)
    capsys.readouterr()
    again = Evaluator(tmp_path)
    assert run(tmp_path, SELECTION, again) == weights
    assert again.steps == []
    assert (
        "Early stopping at step 20 of 30: 3 evaluations in a row were not"
        f" better than that of step 8 ({F1} 0.6000)."
    ) in capsys.readouterr().out


def test_more_patience_goes_on_and_ends_as_if_it_had_been_there(tmp_path):
    patient = Selection((F1,), {"images": 7}, patience=4)
    run(tmp_path / "whole", patient)
    run(tmp_path / "parts")
    run(tmp_path / "parts", patient)
    whole, parts = (state(tmp_path / name) for name in ("whole", "parts"))
    # Logged half-way, at the early end.
    assert whole[0][1:] == parts[0][1:] and whole[1] == parts[1]
    assert json.loads(whole[0][1])["step"] == 24


@pytest.mark.parametrize(
    "other",
    [
        # Another metric, and other images.
        Selection((OTHER,), {"images": 7}, patience=3),
        Selection((F1,), {"images": 9}, patience=3),
    ],
)
def test_what_cannot_be_compared_is_counted_anew(tmp_path, other):
    run(tmp_path, steps=16)
    evaluator = Evaluator(tmp_path)
    run(tmp_path, other, evaluator)
    # By either, 24 or 20 is the best of those that count.
    assert evaluator.steps == [16, 20, 24, 28]
    begun = json.loads((tmp_path / "early_stop.json").read_text())
    assert begun["since"] == 16


def test_without_patience_nothing_ends_early(tmp_path):
    evaluator = Evaluator(tmp_path)
    run(tmp_path, Selection((F1,)), evaluator)
    assert evaluator.steps == [4, 8, 12, 16, 20, 24, 28]
    assert not (tmp_path / "early_stop.json").exists()
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["step"] == 24


def test_scores_that_are_not_finite_are_not_the_best():
    selection = Selection((F1, OTHER))
    assert selection.comparable({F1: 0.5, OTHER: 1.0}) == {F1: 0.5}
    assert selection.comparable({F1: float("nan"), OTHER: 1.0}) == {OTHER: 1.0}
    assert selection.comparable({F1: None, "loss": 1.0}) == {}


def test_evaluations_without_the_score_are_no_better(tmp_path):
    run_dir = RunDirectory(str(tmp_path))
    stop = EarlyStop(run_dir, SELECTION)
    assert not stop.exhausted() and stop.best() is None
    stop.begin(0)
    for step, scores in ((2, {OTHER: 1.0}), (4, {F1: 0.5}), (6, {OTHER: 1.0})):
        run_dir.append_metrics(step, 0.0, "eval", scores)
        run_dir.append_metrics(step, 0.0, "train", {F1: 0.9})
    assert stop.best() == (4, {F1: 0.5}) and not stop.exhausted()
    for step in (8, 10):
        run_dir.append_metrics(step, 0.0, "eval", {F1: 0.5})
    assert stop.exhausted()
    # A run that goes back to a step before the count began, begins it there.
    EarlyStop(run_dir, SELECTION).begin(6)
    assert stop.exhausted()
