"""Steps at which a run logs, saves and evaluates; contents of its event
files."""

import re
from fractions import Fraction

import pytest
import tensorflow as tf
from small_task import events as written_events
from small_task import metrics, train

from tf_simclr.config import TrainConfig
from tf_simclr.training.intervals import Intervals, Pace
from tf_simclr.training.tensorboard import cut_events_after


def test_each_event_comes_at_its_interval():
    config = TrainConfig(
        checkpoint_steps=4, log_every_steps=3, eval_every_epochs=1
    )
    events = Intervals(config, total_steps=11, steps_per_epoch=5.2)
    upcoming, step = [], 0
    while step < 11:
        step = events.next(step)
        upcoming.append(step)
    assert upcoming == [3, 4, 5, 6, 8, 9, 10, 11]
    assert [s for s in upcoming if events.saves(s)] == [4, 8, 11]
    assert [s for s in upcoming if events.evaluates(s)] == [5, 10]
    assert all(events.logs(s) for s in upcoming)


@pytest.mark.parametrize(
    "epochs, steps_per_epoch, steps",
    [
        (1, 1.0, [100, 200, 300, 400]),
        (1, Fraction(1, 3), [100, 200, 300, 400]),
        # Four times 30.4.
        (1, 30.4, [122, 243, 365, 486]),
        (2, 30.4, [122, 243, 365, 486]),
        (1, 250.0, [250]),
        (3, 70, [210, 420]),
        (300, Fraction(5, 7), [214, 429]),
    ],
)
def test_checkpoints_of_short_epochs_are_a_hundred_steps_apart(
    epochs, steps_per_epoch, steps
):
    config = TrainConfig(checkpoint_epochs=epochs)
    events = Intervals(config, 1000, steps_per_epoch)
    assert [s for s in range(1, 500) if events.saves(s)] == steps


@pytest.mark.parametrize(
    "epochs, steps_per_epoch, steps",
    [
        # 10 epochs of 0.71 steps, and of 1.5.
        (10, Fraction(5, 7), [7, 14, 21, 29, 36]),
        (10, Fraction(3, 2), [15, 30]),
        (1, Fraction(3, 2), [2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18]),
        (1, Fraction(7, 2), [4, 7, 11, 14, 18, 21, 25, 28, 32, 35, 39]),
        (10, Fraction(5, 2), [25]),
        # Every step holds several epochs, and is evaluated once.
        (1, Fraction(1, 3), [1, 2, 3, 4, 5, 6]),
        (10, 4, []),
        (5, 4, [20]),
        (0, 4, []),
    ],
)
def test_evaluations_come_at_their_epochs(epochs, steps_per_epoch, steps):
    config = TrainConfig(
        eval_every_epochs=epochs, checkpoint_steps=999, log_every_steps=999
    )
    total = steps[-1] + 1 if steps else 40
    events = Intervals(config, total, steps_per_epoch)
    assert [s for s in range(total + 1) if events.evaluates(s)] == steps
    # The loop stops at each of them, from wherever it goes on.
    for start in range(total):
        later = [step for step in steps if step > start]
        assert events.next(start) == (later or [total])[0]


def test_lines_every_so_many_steps(tmp_path, capsys):
    """`--log_every_steps` is the distance of lines on screen and in
    metrics.jsonl; without it the first line comes, then time counts."""
    flags = {"steps": 12, "checkpoint_steps": 100}
    train(tmp_path / "five", log_every_steps=5, **flags)
    assert shown_steps(capsys) == [1, 5, 10]
    assert list(metrics(tmp_path / "five", "batch")) == [5, 10, 12]
    train(tmp_path / "default", log_every_steps=0, **flags)
    assert shown_steps(capsys) == [1]
    assert len(metrics(tmp_path / "default", "batch")) == 12
    # However slow the steps are, and however fast.
    flags["pace"] = Pace(line_seconds=0.0)
    train(tmp_path / "slow", log_every_steps=5, **flags)
    assert shown_steps(capsys) == [1, 5, 10]
    train(tmp_path / "time", log_every_steps=0, **flags)
    assert shown_steps(capsys) == list(range(1, 13))


def shown_steps(capsys) -> list[int]:
    lines = capsys.readouterr().out
    return [int(step) for step in re.findall(r"^small (\d+)/", lines, re.M)]


def test_events_after_a_step_are_cut(tmp_path):
    for folder in (tmp_path, tmp_path / "knn", tmp_path / "other"):
        writer = tf.summary.create_file_writer(str(folder))
        for step in range(4):
            with writer.as_default(step=step):
                tf.summary.scalar("figure", step)
        writer.close()
    [path] = tmp_path.glob("events.*")
    path.write_bytes(path.read_bytes()[:-1])
    before = path.stat().st_mtime_ns
    cut_events_after(str(tmp_path), 3)
    # The last record was torn.
    assert [step for step, *_ in written_events(tmp_path)] == [0, 1, 2]
    cut_events_after(str(tmp_path), 1)
    for folder in (tmp_path, tmp_path / "knn"):
        assert [step for step, *_ in written_events(folder)] == [0, 1]
    assert path.stat().st_mtime_ns > before
    kept = path.stat().st_mtime_ns
    cut_events_after(str(tmp_path), 1)
    assert path.stat().st_mtime_ns == kept
    cut_events_after(str(tmp_path), -1)
    # Another run's, which lies below this one.
    [left] = tmp_path.rglob("events.*")
    assert left.parent.name == "other"
    assert [step for step, *_ in written_events(left.parent)] == [0, 1, 2, 3]
