"""When a run logs, saves and evaluates; what its event files keep."""

import pytest
import tensorflow as tf
from small_task import events as written_events

from tf_simclr.config import TrainConfig
from tf_simclr.training.event_files import cut_events_after
from tf_simclr.training.events import Events


def test_each_event_comes_at_its_interval():
    config = TrainConfig(
        checkpoint_steps=4, log_every_steps=3, eval_every_epochs=1
    )
    events = Events(config, total_steps=11, steps_per_epoch=5.2)
    upcoming, step = [], 0
    while step < 11:
        step = events.next(step)
        upcoming.append(step)
    assert upcoming == [3, 4, 5, 6, 8, 9, 10, 11]
    assert [s for s in upcoming if events.saves(s)] == [4, 8, 11]
    assert [s for s in upcoming if events.evaluates(s)] == [5, 10]
    assert all(events.logs(s) for s in upcoming)


@pytest.mark.parametrize(
    "epochs, steps_per_epoch, every",
    [
        (1, 1.0, 100),
        (1, 30.4, 120),
        (2, 30.4, 120),
        (1, 250.0, 250),
        (3, 70, 210),
    ],
)
def test_checkpoints_of_short_epochs_are_a_hundred_steps_apart(
    epochs, steps_per_epoch, every
):
    config = TrainConfig(checkpoint_epochs=epochs)
    events = Events(config, 1000, steps_per_epoch)
    assert [s for s in range(1, 500) if events.saves(s)] == list(
        range(every, 500, every)
    )


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
