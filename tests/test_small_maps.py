"""Convolutions of small maps: the same numbers in faster forms."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.speed import convolutions
from tf_simclr.config.model import ModelConfig
from tf_simclr.models import small_maps
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.models.resnet import ARCHITECTURES

# (images, side, channels in and out, kernel, stride), one for every form: side
# by side and products; fewer side by side; products of odd and even strided
# maps, of a kernel of one pixel with and without stride; none of them.
CASES = {
    "side_by_side": (16, 4, 512, 512, 3, 1),
    "twelve_images": (12, 3, 512, 512, 3, 1),
    "products": (6, 7, 128, 160, 3, 1),
    "strided_even": (4, 10, 128, 192, 3, 2),
    "strided_odd": (4, 9, 128, 128, 3, 2),
    "one_pixel": (4, 12, 24, 40, 1, 1),
    "one_pixel_strided": (4, 8, 24, 40, 1, 2),
    "one_pixel_strided_odd": (4, 7, 24, 40, 1, 2),
    "native": (2, 12, 16, 16, 3, 1),
}


def _outputs_and_gradients(function, inputs, kernel):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = function(inputs, kernel)
        rng = np.random.default_rng(1)
        weight = tf.cast(rng.normal(size=outputs.shape), outputs.dtype)
        loss = tf.reduce_sum(tf.cast(outputs * weight, tf.float32))
    return [outputs, *tape.gradient(loss, [inputs, kernel])]


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", CASES)
def test_equals_native(case, dtype, flipped):
    images, side, channels, outputs, size, strides = CASES[case]
    padding = "SAME" if strides == 1 else "VALID"
    rng = np.random.default_rng(0)
    inputs = tf.cast(rng.normal(size=(images, side, side, channels)), dtype)
    kernel = tf.cast(rng.normal(size=(size, size, channels, outputs)), dtype)

    def native(inputs, kernel):
        return tf.nn.conv2d(inputs, kernel, strides, padding)

    def ours(inputs, kernel):
        return small_maps.convolve(inputs, kernel, strides, padding, flipped)

    exact = [tf.cast(tensor, "float32") for tensor in (inputs, kernel)]
    wanted = _outputs_and_gradients(native, *exact)
    # Processors without bfloat16 units round in between.
    theirs = _outputs_and_gradients(native, inputs, kernel)
    for run in (ours, tf.function(ours)):
        found = _outputs_and_gradients(run, inputs, kernel)
        for one, other, truth in zip(found, theirs, wanted, strict=True):
            assert one.dtype == other.dtype and one.shape == other.shape
            limit = 2e-6
            if dtype == "bfloat16":
                limit = max(6e-3, 1.5 * _error(other, truth))
            assert _error(one, truth) < limit


def _error(one, other) -> float:
    """Of all numbers together, relative to those of `other`."""
    one, other = (np.float64(tf.cast(t, "float32")) for t in (one, other))
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@pytest.mark.parametrize(
    ("case", "operations"),
    [
        ("side_by_side", {"MatMul": 9, "Conv2DBackpropFilter": 0}),
        ("strided_even", {"MatMul": 9, "Conv2DBackpropFilter": 0}),
        ("native", {"MatMul": 0, "Conv2DBackpropFilter": 1}),
    ],
)
def test_forms_are_taken(case, operations):
    images, side, channels, outputs, size, strides = CASES[case]
    padding = "SAME" if strides == 1 else "VALID"

    @tf.function
    def gradients(inputs, kernel):
        with tf.GradientTape() as tape:
            tape.watch([inputs, kernel])
            found = small_maps.convolve(inputs, kernel, strides, padding)
        return tape.gradient(found, [inputs, kernel])

    graph = gradients.get_concrete_function(
        tf.TensorSpec([images, side, side, channels], tf.bfloat16),
        tf.TensorSpec([size, size, channels, outputs], tf.bfloat16),
    ).graph
    kinds = [operation.type for operation in graph.get_operations()]
    assert {kind: kinds.count(kind) for kind in operations} == operations


def test_flipped_gradients_are_convolutions():
    """Without AVX-512 the native gradient takes many times as long."""
    kernel = tf.random.stateless_normal([3, 3, 16, 16], [0, 0])

    @tf.function(input_signature=[tf.TensorSpec([8, 12, 12, 16])])
    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            found = small_maps.convolve(inputs, kernel, 1, "SAME", True)
        return tape.gradient(found, inputs)

    operations = gradient.get_concrete_function().graph.get_operations()
    kinds = [operation.type for operation in operations]
    assert "Conv2DBackpropInput" not in kinds and "Conv2D" in kinds


def test_few_channels_on_large_maps_keep_to_their_memory():
    # The native form of this gradient aborts the process.
    rng = np.random.default_rng(0)
    inputs = tf.constant(rng.normal(size=(2, 56, 56, 8)), tf.float32)
    kernel = tf.constant(rng.normal(size=(1, 1, 8, 4)), tf.float32)

    @tf.function
    def gradient(inputs, kernel):
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            found = small_maps.convolve(inputs, kernel, 2, "VALID")
        return tape.gradient(found, kernel)

    wanted = np.sum(inputs.numpy()[:, ::2, ::2], axis=(0, 1, 2))
    found = gradient(inputs, kernel).numpy()
    wanted = np.broadcast_to(wanted[:, np.newaxis], (8, 4))
    np.testing.assert_allclose(found[0, 0], wanted, atol=1e-3)
    graph = gradient.get_concrete_function(inputs, kernel).graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Conv2DBackpropFilter" not in kinds


def test_any_number_of_images():
    kernel = tf.random.stateless_normal([3, 3, 512, 512], [0, 0])

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 512])])
    def convolved(inputs):
        return small_maps.convolve(inputs, kernel, 1, "SAME")

    inputs = tf.random.stateless_normal([3, 4, 4, 512], [1, 1])
    np.testing.assert_allclose(
        convolved(inputs), tf.nn.conv2d(inputs, kernel, 1, "SAME"), rtol=1e-6
    )


def test_network_is_the_same(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, 18, (False, (1, 1, 1, 1)))
    architecture = Architecture.for_pretraining(
        ModelConfig(resnet_depth=18), 32, 0
    )
    images = tf.random.stateless_uniform([4, 32, 32, 3], [0, 0])
    networks = [
        build_network(architecture, 32, layers)
        for layers in (
            LayerFactory(),
            LayerFactory(small_maps=True),
            LayerFactory(small_maps=True, flipped_gradients=True),
        )
    ]
    for network in networks[1:]:
        network.set_weights(networks[0].get_weights())

    @tf.function
    def loss_and_gradients(network):
        with tf.GradientTape() as tape:
            found = network(images, training=True).projection
            loss = tf.reduce_sum(found * tf.range(4.0)[:, None])
        gradients = tape.gradient(loss, network.trainable_variables)
        return loss, tf.linalg.global_norm(gradients)

    native, *others = map(loss_and_gradients, networks)
    for found in others:
        for one, other in zip(native, found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.parametrize("shape", [(16, 4, 8, 12, 3, 1), (4, 8, 8, 12, 1, 2)])
def test_forms_that_the_benchmark_compares_are_the_same(shape):
    images, side, channels, outputs, size, strides = shape
    small = side // strides
    rng = np.random.default_rng(0)
    tensors = [
        tf.constant(rng.normal(size=sizes), tf.float32)
        for sizes in (
            (images, side, side, channels),
            (size, size, channels, outputs),
            (images, small, small, outputs),
        )
    ]
    for result, candidates in convolutions.forms(shape).items():
        wanted = candidates["native"](*tensors)
        for name, form in candidates.items():
            np.testing.assert_allclose(
                form(*tensors), wanted, atol=1e-4, err_msg=f"{result}, {name}"
            )
    assert convolutions.measure(shape, tf.float32, 1).keys() == {
        "forward",
        "to inputs",
        "to kernel",
    }
