"""Loss scaling: what is skipped, what is taken, what the factor does."""

import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tf_simclr.optimizers.lars import LARS
from tf_simclr.training import loss_scale
from tf_simclr.training.loss_scale import LossScale
from tf_simclr.training.objective import Objective
from tf_simclr.training.step import SCALING_METRICS, Task, make_global_step

OPTIMIZERS = {
    "lars": lambda: LARS(1.0),
    "momentum": lambda: keras.optimizers.SGD(1.0, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(1.0),
}


def test_the_factor_follows_the_gradients(monkeypatch):
    monkeypatch.setattr(loss_scale, "GROWTH_STEPS", 2)
    scale = LossScale()
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


def task_of(variable: tf.Variable, optimizer, scale: LossScale | None) -> Task:
    """Minimises slope * sum(variable), in float16 on the way back."""

    def forward(batch):
        halved = tf.cast(tf.convert_to_tensor(variable), tf.float16)
        return {"row": tf.cast(halved, tf.float32) * batch["slope"]}

    return Task(
        name="test",
        network=None,
        trainable=[variable],
        optimizer=optimizer,
        objective=Objective(
            forward=forward,
            loss=lambda batch, rows: (tf.reduce_sum(rows["row"]), {}),
            decay=lambda: tf.constant(0.0),
        ),
        metric_names=("total_loss", *SCALING_METRICS),
        summary=lambda metrics: [],
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
