"""The roofline counts what a kernel does, and divides it by the rates."""

import dataclasses

import pytest
import tensorflow as tf

from benchmarks.lib.machines import H100
from benchmarks.lib.step_graph import Operation, described
from benchmarks.speed import roofline

CONV = Operation("Conv2D", (2, 4, 4, 8), tf.bfloat16, 10**9, 10**6)
NORM = Operation("FusedBatchNormV3", (2, 4, 4, 8), tf.bfloat16, 0, 3 * 512)
GRADIENT = dataclasses.replace(NORM, kind="FusedBatchNormGradV3")


def test_a_convolution_and_its_gradients_have_the_same_operations():
    @tf.function(autograph=False)
    def step(images, kernel):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            maps = tf.nn.conv2d(images, kernel, 2, "SAME")
        return tape.gradient(maps, [images, kernel])

    graph = step.get_concrete_function(
        tf.TensorSpec([2, 8, 8, 3]), tf.TensorSpec([3, 3, 3, 5])
    ).graph
    found = {
        operation.type: described(operation)
        for operation in graph.get_operations()
        if operation.type.startswith("Conv2D")
    }
    assert len(found) == 3
    # Two views of 4 x 4 pixels and 5 channels, of 3 x 3 x 3 products each.
    assert {each.flops for each in found.values()} == {2 * 160 * 27}
    read = 4 * (2 * 8 * 8 * 3 + 27 * 5)
    assert found["Conv2D"].bytes == read + 4 * 160


def test_batch_norm_turns_what_it_reads_and_writes():
    found = roofline.with_layouts([CONV, NORM, GRADIENT])
    assert len(found) == 3 + 2 + 3
    rows = roofline.asked(found, pairs=2)
    layout = rows[roofline.LAYOUT]
    assert layout["kernels"] == 5
    assert layout["megabytes"] == pytest.approx(5 * 2 * 512 / 2 / 1e6)
    assert rows[roofline.CONVOLUTIONS]["gflop"] == 0.5
    assert sum(row["kernels"] for row in rows.values()) == len(found)


def test_a_kernel_takes_what_bounds_it():
    machine = dataclasses.replace(H100, flops=1e12, memory_rate=1e9)
    found = roofline.bound([CONV, NORM], 2, machine)
    # 1 ms of arithmetic as well as of bytes.
    assert found["memory"] == pytest.approx(1 + 1.536e-3)
    assert found["launches"] == pytest.approx(0.01)
    seconds = (found["memory"] + found["launches"]) / 1000
    assert found["pairs_per_second"] == pytest.approx(2 / seconds)
    faster = dataclasses.replace(machine, memory_rate=1e12)
    assert roofline.bound([CONV], 2, faster)["arithmetic"] == pytest.approx(1)
