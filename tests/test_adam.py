"""Adam in one kernel against Keras's own."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from tf_simclr.optimizers.factory import Adam


@pytest.mark.parametrize("devices", [1, 2])
def test_equals_keras(devices):
    names = [d.name for d in tf.config.list_logical_devices("CPU")[:devices]]
    strategy = tf.distribute.MirroredStrategy(names)
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=size) for size in ((3, 4), (5,))]
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 10)
    with strategy.scope():
        ways = [
            (kind(schedule), [tf.Variable(s, dtype=tf.float32) for s in starts])
            for kind in (Adam, keras.optimizers.Adam)
        ]
        for optimizer, variables in ways:
            optimizer.build(variables)

    @tf.function
    def update(gradients):
        def on_replica(gradients):
            for optimizer, variables in ways:
                optimizer.apply_gradients(
                    zip(gradients, variables, strict=True),
                    experimental_aggregate_gradients=False,
                )

        strategy.run(on_replica, args=(gradients,))

    for _ in range(5):
        update(
            [tf.constant(rng.normal(size=s.shape), tf.float32) for s in starts]
        )
    (ours, ours_variables), (theirs, theirs_variables) = ways
    assert ours.iterations == 5
    pairs = zip(
        [*ours_variables, *ours.variables],
        [*theirs_variables, *theirs.variables],
        strict=True,
    )
    for one, other in pairs:
        assert one.name == other.name or one.shape == other.shape
        for copy in strategy.experimental_local_results(one):
            np.testing.assert_allclose(copy, other, rtol=1e-5, atol=1e-6)
    assert np.abs(ours_variables[0] - starts[0]).max() > 0.1
