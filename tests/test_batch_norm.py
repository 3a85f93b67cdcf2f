"""Batch norm: fused, plain and over replicas are the same numbers."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.models.batch_norm import BatchNorm

IMAGES = np.random.default_rng(0).normal(2.0, 3.0, (8, 4, 4, 6))
IMAGES = IMAGES.astype("float32")


def layer(**kwargs) -> BatchNorm:
    norm = BatchNorm(**kwargs)
    norm.build(tf.TensorShape([None, None, None, 6]))
    norm.gamma.assign(tf.linspace(0.5, 1.5, 6))
    return norm


def step(norm, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = norm(images, training=True)
        loss = tf.reduce_mean(outputs**3)
    return outputs, tape.gradient(loss, [images, norm.gamma, norm.beta])


def test_fused_equals_plain():
    fused, plain = layer(), layer()
    images = tf.constant(IMAGES)
    flat = tf.reshape(images, [-1, 6])
    outputs, gradients = step(fused, images)
    flat_outputs, flat_gradients = step(plain, flat)
    assert np.allclose(tf.reshape(outputs, [-1, 6]), flat_outputs, atol=1e-5)
    for a, b in zip(gradients, flat_gradients, strict=True):
        assert np.allclose(tf.reshape(a, [-1]), tf.reshape(b, [-1]), atol=1e-5)
    for a, b in zip(fused.variables, plain.variables, strict=True):
        assert np.allclose(a, b, atol=1e-6), a.name


def test_statistics_are_the_biased_moments():
    norm = layer(momentum=0.8)
    norm(tf.constant(IMAGES), training=True)
    mean, variance = IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2))
    assert np.allclose(norm.moving_mean, 0.2 * mean, rtol=1e-5)
    assert np.allclose(norm.moving_variance, 0.8 + 0.2 * variance, rtol=1e-5)


@pytest.mark.parametrize("rank", [2, 4])
def test_replicas_share_the_moments_of_the_global_batch(two_replicas, rank):
    data = IMAGES if rank == 4 else IMAGES[:, 0, 0]
    single = layer()
    expected, gradients = step(single, tf.constant(data))
    with two_replicas.scope():
        norm = layer(synchronized=True)

    def part(context):
        half = slice(4, 8) if context.replica_id_in_sync_group else slice(0, 4)
        return tf.constant(data[half])

    parts = two_replicas.experimental_distribute_values_from_function(part)

    @tf.function
    def run():
        return two_replicas.run(lambda images: step(norm, images), (parts,))

    outputs, found = run()
    joined = np.concatenate([x.numpy() for x in outputs.values])
    assert np.allclose(joined, expected, atol=1e-5)
    for one, whole in zip(found, gradients, strict=True):
        if one.values[0].shape == whole.shape:
            value = sum(x.numpy() for x in one.values) / 2
        else:
            value = np.concatenate([x.numpy() for x in one.values]) / 2
        assert np.allclose(value, whole, atol=1e-5)
    for a, b in zip(norm.variables, single.variables, strict=True):
        assert np.allclose(a.numpy(), b.numpy(), atol=1e-6)


def test_frozen_layer_keeps_its_statistics():
    norm = layer()
    norm.trainable = False
    outputs = norm(tf.constant(IMAGES), training=True)
    expected = norm(tf.constant(IMAGES), training=False)
    assert np.array_equal(outputs, expected)
    assert np.array_equal(norm.moving_mean, np.zeros(6))


def test_config_round_trip():
    norm = BatchNorm(0.7, center=False, zero_init=True)
    copy = BatchNorm.from_config(norm.get_config())
    assert copy.get_config() == norm.get_config()
