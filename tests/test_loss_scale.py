"""Loss scaling: what is skipped, what is taken, what the factor does."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from small_task import metrics as logged
from small_task import train

from tf_simclr.methods.base import TOTAL_LOSS, Method
from tf_simclr.optimizers.lars import LARS
from tf_simclr.signals import TrainingFailed
from tf_simclr.training.intervals import Intervals, Pace
from tf_simclr.training.recovery import SkipWatch
from tf_simclr.training.step import Task, make_global_step
from tf_simclr.training.update import LossScale

OPTIMIZERS = {
    "lars": lambda: LARS(1.0),
    "momentum": lambda: keras.optimizers.SGD(1.0, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1.0),
}


def test_the_factor_follows_the_gradients():
    scale = LossScale(growth_steps=2)
    scale.factor.assign(4.0)
    found = []
    for finite in (False, False, False, True, True, True, False):
        take = bool(scale.update(tf.constant(finite)))
        found.append((take, float(scale.factor)))
    assert found == [
        (False, 2.0),
        (False, 1.0),
        # Nothing is scaled any more: what is not finite must be seen.
        (True, 1.0),
        (True, 1.0),
        (True, 2.0),
        (True, 2.0),
        (False, 1.0),
    ]


class Slope(Method):
    """Minimises slope * sum(variable), in float16 on the way back."""

    metrics = (TOTAL_LOSS,)

    def __init__(self, variable: tf.Variable, optimizer):
        self.trainable, self.optimizer = [variable], optimizer

    def forward(self, batch):
        halved = tf.cast(tf.convert_to_tensor(self.trainable[0]), tf.float16)
        return {"row": tf.cast(halved, tf.float32) * batch["slope"]}

    def loss(self, batch, outputs):
        return tf.reduce_sum(outputs["row"]), {}

    def decay(self):
        return tf.constant(0.0)


def task_of(variable: tf.Variable, optimizer, scale: LossScale | None) -> Task:
    return Task(
        method=Slope(variable, optimizer),
        batches=types.SimpleNamespace(views=dict),
        batch_size=1,
        loss_scale=scale,
    )


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_that_overflows_is_skipped(name):
    values = {}
    for kind in ("scaled", "plain"):
        variable = tf.Variable([[1.0, 2.0]])
        optimizer = OPTIMIZERS[name]()
        optimizer.build([variable])
        scale = LossScale() if kind == "scaled" else None
        task = task_of(variable, optimizer, scale)
        step = tf.function(
            make_global_step(task, tf.distribute.get_strategy()),
            autograph=False,
        )
        if scale is not None:
            state = [v.numpy() for v in optimizer.variables]
            # 3 x 32768 is beyond float16's 65504.
            metrics = step({"slope": tf.constant([[3.0, 3.0]])})
            assert float(metrics["skipped_updates"]) == 1.0
            assert float(metrics["loss_scale"]) == 2.0**15
            assert variable.numpy().tolist() == [[1.0, 2.0]]
            # The schedule goes on; buffers do not move.
            assert int(optimizer.iterations) == 1
            for before, after in zip(
                state[2:], optimizer.variables[2:], strict=True
            ):
                assert np.array_equal(before, after)
            optimizer.iterations.assign(0)
        metrics = step({"slope": tf.constant([[3.0, 1.0]])})
        assert float(metrics.get("skipped_updates", 0.0)) == 0.0
        values[kind] = variable.numpy()
    assert np.allclose(values["scaled"], values["plain"], rtol=1e-3)


def test_gradients_too_small_for_float16_arrive():
    moved = {}
    for kind in ("scaled", "plain"):
        variable = tf.Variable([[1.0, 2.0]])
        scale = LossScale() if kind == "scaled" else None
        task = task_of(variable, keras.optimizers.SGD(1.0), scale)
        step = make_global_step(task, tf.distribute.get_strategy())
        tf.function(step, autograph=False)(
            {"slope": tf.constant([[2.0**-26] * 2])}
        )
        moved[kind] = 1.0 - variable.numpy()[0, 0]
    assert moved["plain"] == 0.0
    assert np.isclose(moved["scaled"], 0.0, atol=1e-7)
    assert moved["scaled"] >= 0.0


def test_one_replica_that_overflows_stops_all(two_replicas):
    with two_replicas.scope():
        variable = tf.Variable([[1.0, 2.0]])
        optimizer = LARS(1.0)
        optimizer.build([variable])
        task = task_of(variable, optimizer, LossScale())
    step = tf.function(make_global_step(task, two_replicas), autograph=False)

    def slopes(second: float) -> tf.distribute.DistributedValues:
        return two_replicas.experimental_distribute_values_from_function(
            lambda context: {
                "slope": tf.constant(
                    [[1.0, second if context.replica_id_in_sync_group else 1.0]]
                )
            }
        )

    assert float(step(slopes(9.0))["skipped_updates"]) == 1.0
    assert variable.numpy().tolist() == [[1.0, 2.0]]
    assert float(step(slopes(1.0))["skipped_updates"]) == 0.0
    assert variable.numpy()[0, 0] < 1.0


def test_a_gradient_that_is_not_finite_at_factor_one_is_its_own_steps(tmp_path):
    # Batch 6 is that of step 7.
    flags = {"factor": 1.0, "overflowing": [6], "log_every_steps": 1}
    with pytest.raises(TrainingFailed) as error:
        train(tmp_path, **flags)
    assert str(error.value).startswith("Not finite at step 7: gradient_norm (")
    train(tmp_path, recover_from_nan=1, **flags)
    used = [round(v) for v in logged(tmp_path, "batch").values()]
    assert used == [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    (made,) = json.loads((tmp_path / "recoveries.json").read_text())
    assert (made["step"], made["batch"]) == (7, 6)


def test_skipped_updates_are_shown_and_have_no_norm(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(Intervals, "shows", lambda *_: True)
    # One checkpoint, and so one log line.
    flags = {"steps": 5, "log_every_steps": 5, "checkpoint_steps": 5}
    pace = Pace(chunk_seconds=0.0)
    train(tmp_path, factor=8.0, overflowing=[0, 2, 3], pace=pace, **flags)
    lines = [
        [part for part in line.split("  ") if part.startswith(("loss s", "sk"))]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("small ")
    ]
    assert lines == [
        ["loss scale 8", "skipped 100%"],
        [],
        ["loss scale 4", "skipped 100%"],
        ["loss scale 2", "skipped 100%"],
        [],
    ]
    assert logged(tmp_path, "skipped_updates") == {5: pytest.approx(3 / 5)}
    assert logged(tmp_path, "taken_updates") == {}
    # The norm is the mean over steps 2 and 5, not over all five.
    alone = tmp_path / "alone"
    train(alone, factor=8.0, overflowing=[0, 2, 3], steps=5, log_every_steps=1)
    each = logged(alone, "gradient_norm")
    assert list(each) == [2, 5]
    norm = logged(tmp_path, "gradient_norm")[5]
    assert norm == pytest.approx((each[2] + each[5]) / 2)


def test_a_progress_line_counts_the_steps_since_the_one_before():
    watch = SkipWatch(10)
    last = {"loss_scale": 512.0}
    watch.logged(20, 10, {"skipped_updates": 0.3})
    metrics = {"skipped_updates": 0.1}
    facts = watch.facts(30, 20, metrics, last)
    assert facts == ["loss scale 512", "skipped 20%"]
    watch.logged(30, 20, metrics)
    assert watch.facts(32, 30, {"skipped_updates": 0.0}, last) == []
    assert watch.facts(33, 30, {}, last) == []
    facts = watch.facts(633, 30, {"skipped_updates": 1 / 603}, last)
    assert facts == ["loss scale 512", "skipped <1%"]


def test_a_line_without_any_update_has_no_norm(tmp_path):
    train(tmp_path, steps=2, factor=8.0, overflowing=[0], log_every_steps=1)
    norms = logged(tmp_path, "gradient_norm")
    # The weights are still 1 when batch 1 is taken: three inputs of 1.01.
    assert norms == {2: pytest.approx(2 * (3 * 1.01 - 1) * 1.01 * 3**0.5)}


def test_a_run_that_skips_each_update_fails(tmp_path, capsys):
    flags = {"factor": 2.0**15, "overflowing": range(9), "log_every_steps": 1}
    for _ in range(2):
        with pytest.raises(TrainingFailed) as error:
            train(tmp_path, steps=4, **flags)
        assert "Not one of the 4 updates was taken" in str(error.value)
        assert "--precision=mixed_bfloat16" in str(error.value)
    told = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("Warning: at step 3 float16 skips 100% of the")
    ]
    assert len(told) == 1
    # More steps than factors: the tenth update is finite.
    train(tmp_path, steps=10, **flags)


def test_a_run_that_had_updates_before_does_not_fail(tmp_path):
    train(tmp_path, steps=3, factor=8.0)
    train(tmp_path, steps=5, factor=8.0, overflowing=[3, 4])
    found = logged(tmp_path, "skipped_updates")
    assert found == {2: 0.0, 3: 0.0, 4: 1.0, 5: 1.0}


def test_a_single_skipped_step_is_a_trial(tmp_path):
    train(tmp_path, steps=1, factor=8.0, overflowing=[0])
    assert logged(tmp_path, "skipped_updates") == {1: 1.0}
