"""Recomputed blocks: the same gradients, statistics moved once, less memory."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
import tiny

from tf_simclr.models.blocks import BlockGroup
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.network import Architecture, build_network

ARCHITECTURE = Architecture(
    depth=18,
    width_multiplier=0.06,
    sk_ratio=0.0625,
    se_ratio=0.1,
    cifar_stem=False,
    head_layers=1,
    kept_head_layers=1,
    projection_dim=8,
    num_classes=0,
    classifier_layer=0,
)
IMAGES = tf.random.stateless_uniform([4, 32, 32, 3], [3, 5])


def network(recompute: bool, frozen_block: int = -1, **options):
    keras.utils.set_random_seed(1)
    made = build_network(
        ARCHITECTURE, 32, LayerFactory(recompute=recompute, **options)
    )
    for block in made.encoder.submodules:
        if hasattr(block, "gamma"):
            block.gamma.assign(tf.ones_like(block.gamma))
    made.encoder.freeze_up_to(frozen_block)
    return made


def step(net):
    def compute(images):
        with tf.GradientTape() as tape:
            outputs = net(images, training=True)["proj_head_output"]
            loss = tf.reduce_mean(tf.square(outputs - 0.5))
        return loss, tape.gradient(loss, net.trainable_variables)

    return compute


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        one, other = np.asarray(one), np.asarray(other)
        scale = np.max(np.abs(one))
        assert np.max(np.abs(one - other)) <= 1e-6 * max(scale, 1e-12)


@pytest.mark.parametrize("frozen_block", [-1, 2])
def test_gradients_and_statistics_equal_the_plain_ones(frozen_block):
    plain, again = (network(x, frozen_block) for x in (False, True))
    expected, found = (
        tf.function(step(n), autograph=False)(IMAGES) for n in (plain, again)
    )
    assert np.isclose(float(expected[0]), float(found[0]), rtol=1e-6)
    assert_same(expected[1], found[1])
    assert any(np.any(g) for g in found[1])
    # Moved by one pass, not by two.
    assert_same(plain.non_trainable_variables, again.non_trainable_variables)


def test_two_replicas_with_global_batch_norm(two_replicas):
    """One group of blocks is as good as a network, and sooner traced."""
    images = tf.random.stateless_normal([4, 6, 6, 8], [1, 1])
    found = []
    for recompute in (False, True):
        keras.utils.set_random_seed(1)
        make = LayerFactory(recompute=recompute, synchronized=True)
        with two_replicas.scope():
            group = BlockGroup(make, 4, 2, 2, bottleneck=True, sk_ratio=0.25)
            group(images)

        def compute(images, group=group):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(group(images, training=True) ** 2)
            return tape.gradient(loss, group.trainable_variables)

        @functools.partial(tf.function, autograph=False)
        def run(compute=compute):
            return two_replicas.run(compute, args=(images,))

        found.append(
            [v for g in run() for v in g.values] + group.non_trainable_variables
        )
    assert_same(*found)


@pytest.mark.slow
def test_activations_take_less_than_half():
    peaks = []
    for extra in ("", " --recompute"):
        # Enough pixels for the activations to be most of a process's memory.
        flags = (
            "--resnet_depth=18 --width_multiplier=0.25 --image_size=64"
            f" --stem=cifar --train_batch_size=256{extra}"
        )
        done = subprocess.run(
            [
                sys.executable,
                str(tiny.ROOT / "benchmarks" / "one_step.py"),
                f"--flags={flags}",
                "--measure",
                "bare",
                "--steps=1",
                "--repeats=1",
                "--peak_side=0",
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        peaks.append(found["peak_bytes"]["host"] - found["ready_bytes"]["host"])
    plain, again = peaks
    # Some of both is not activations: gradients, the optimizer, the graph.
    assert again < 0.6 * plain
