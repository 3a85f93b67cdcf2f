"""LAMB against a plain formula and TensorFlow Addons."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tf_simclr.errors import UserError
from tf_simclr.optimizers.factory import tensorflow_addons
from tf_simclr.optimizers.lamb import LAMB, lamb_update

SHAPES = ((3, 3, 2, 4), (5, 4), (4,))


def norm(array) -> float:
    return float(np.sqrt(np.sum(np.square(array, dtype=np.float64))))


@pytest.mark.parametrize("adapt", [True, False])
def test_update_is_the_written_formula(adapt):
    rng = np.random.default_rng(0)
    w, g, m = rng.standard_normal((3, 4, 5)).astype("float32")
    v = rng.uniform(size=(4, 5)).astype("float32")
    found = lamb_update(
        *map(tf.constant, (g, w, m, v)),
        learning_rate=tf.constant(0.5),
        step=tf.constant(3.0),
        weight_decay=0.1,
        adapt=adapt,
    )
    first, second = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    corrected = np.sqrt(second / (1 - 0.999**3))
    update = first / (1 - 0.9**3) / (corrected + 1e-6) + 0.1 * w
    rate = 0.5 * norm(w) / norm(update) if adapt else 0.5
    assert np.allclose(found.momentum, first, rtol=1e-5)
    assert np.allclose(found.velocity, second, rtol=1e-5)
    assert np.allclose(found.variable, w - rate * update, rtol=1e-4, atol=1e-5)


def test_weights_of_zero_move():
    zeros = tf.zeros([2, 3])
    found = lamb_update(
        tf.ones([2, 3]),
        zeros,
        zeros,
        zeros,
        learning_rate=tf.constant(0.5),
        step=tf.constant(1.0),
    )
    assert np.allclose(found.variable, -0.5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("devices", [1, 2])
def test_steps_equal_those_of_addons(devices):
    try:
        addons = tensorflow_addons()
    except UserError as error:
        pytest.skip(str(error))
    names = [d.name for d in tf.config.list_logical_devices("CPU")[:devices]]
    strategy = tf.distribute.MirroredStrategy(names)
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=shape) for shape in SHAPES]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 10)
    with strategy.scope():
        ours, theirs = (
            [
                tf.Variable(start, dtype=tf.float32, name=f"v{index}")
                for index, start in enumerate(starts)
            ]
            for _ in range(2)
        )
        lamb = LAMB(schedule, weight_decay=0.01)
        lamb.build(ours)
        other = addons.optimizers.LAMB(
            schedule, weight_decay=0.01, exclude_from_weight_decay=["v2"]
        )
        other._create_all_weights(theirs)

    @tf.function
    def update(gradients):
        def on_replica(gradients):
            for optimizer, variables in ((lamb, ours), (other, theirs)):
                optimizer.apply_gradients(
                    zip(gradients, variables, strict=True),
                    experimental_aggregate_gradients=False,
                )

        strategy.run(on_replica, args=(gradients,))

    for _ in range(5):
        update([tf.constant(rng.normal(size=s), tf.float32) for s in SHAPES])
    for one, two, start in zip(ours, theirs, starts, strict=True):
        for copy in strategy.experimental_local_results(one):
            np.testing.assert_allclose(copy, two, rtol=1e-5, atol=1e-6)
        assert np.abs(one - start).max() > 0.05


def test_config_round_trip():
    optimizer = LAMB(0.3, beta_1=0.8, weight_decay=0.02)
    copy = LAMB.from_config(optimizer.get_config())
    assert copy.get_config() == optimizer.get_config()
    assert copy.decay == 0.02
