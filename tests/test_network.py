"""Networks against the original release's figures."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import SimCLRNetwork, build_network
from tf_simclr.weights.original import tf1_names, tf2_names

TF2 = golden.load_json("forward_variables.json")
TF1 = golden.load_json("tf1_variables.json")
BLOCKS = [
    "initial_conv",
    "initial_max_pool",
    *(f"block_group{i}" for i in range(1, 5)),
]
HEAD = ["proj_hidden1", "proj_hidden2", "proj_hidden3", "proj_head_output"]
# Batch statistics of deep nets amplify rounding (golden README).
DEEP = ("r101_w0125_sk", "r152_w0125_sk")


@pytest.fixture(scope="module")
def figures():
    return golden.load("forward.npz")


def filled(config: dict, names_of) -> SimCLRNetwork:
    architecture = golden.architecture(config)
    network = build_network(architecture, config["size"])
    names = list(named_variables(network))
    golden.fill(network, names_of(names, architecture))
    return network


@pytest.mark.parametrize("name", TF2)
def test_forward_equals_the_tf2_release(name, figures):
    described = TF2[name]
    config = described["config"]
    network = filled(config, tf2_names)
    keys = tf2_names(list(named_variables(network)), network.architecture)
    shapes = {
        keys[ours]: list(variable.shape)
        for ours, variable in named_variables(network).items()
    }
    assert shapes == dict(described["variables"])
    trainable = network.trainable_variables
    assert sum(int(tf.size(v)) for v in trainable) == described["num_trainable"]

    images = tf.constant(golden.images(config["size"]))
    outputs = network(images, training=False).by_name()
    for key in ["final_avg_pool", "logits_sup", *HEAD]:
        error = golden.relative_error(outputs[key], figures[f"{name}/{key}"])
        assert error < 1e-4, key
    for key in BLOCKS:
        means = tf.reduce_mean(outputs[key], [1, 2])
        error = golden.relative_error(means, figures[f"{name}/{key}_mean"])
        assert error < 1e-4, key

    @tf.function
    def train_pass():
        with tf.GradientTape() as tape:
            # The figures are those of pretraining: the classifier's loss
            # stops before the encoder.
            outputs = network(
                images, training=True, stop_classifier_gradient=True
            )
            projection, logits = outputs.projection, outputs.logits
            loss = tf.reduce_mean(projection**2) + tf.reduce_mean(logits**2)
        return (
            projection,
            logits,
            loss,
            tf.linalg.global_norm(tape.gradient(loss, trainable)),
        )

    tolerance = 1e-2 if name in DEEP else 1e-3
    for key, found in zip(
        ("proj_head_output", "logits_sup", "loss", "grad_global_norm"),
        train_pass(),
        strict=True,
    ):
        error = golden.relative_error(found, figures[f"{name}/train_{key}"])
        assert error < tolerance, key


@pytest.mark.parametrize("name", TF1)
def test_forward_equals_the_tf1_release(name):
    figures = golden.load("tf1_forward.npz")
    config = TF1[name]["config"]
    network = filled(config, tf1_names)
    outputs = network(tf.constant(golden.images(config["size"]))).by_name()
    for key in ("final_avg_pool", "proj_head_output", "logits_sup"):
        error = golden.relative_error(outputs[key], figures[f"{name}/{key}"])
        assert error < 1e-4, key


def test_names_are_those_of_a_checkpoint(tmp_path):
    config = TF2["r50_w0125_sk"]["config"]
    network = build_network(golden.architecture(config), config["size"])
    prefix = tf.train.Checkpoint(network=network).write(str(tmp_path / "c"))
    stored = {key for key, _ in tf.train.list_variables(prefix)}
    names = named_variables(network)
    assert len(names) == len(network.variables)
    for name in names:
        assert f"network/{name}/.ATTRIBUTES/VARIABLE_VALUE" in stored


@pytest.mark.parametrize("block", [-1, 0, 2, 4])
def test_frozen_blocks_keep_weights_and_statistics(block):
    config = TF2["r18_w0125_cifar"]["config"]
    network = filled(config, tf2_names)
    network.encoder.freeze_up_to(block)
    parts = [network.encoder.stem, *network.encoder.groups]
    before = [[v.numpy() for v in part.variables] for part in parts]
    network(tf.constant(golden.images(32)), training=True)
    trained = {v.ref() for v in network.trainable_variables}
    for index, (part, old) in enumerate(zip(parts, before, strict=True)):
        frozen = index <= block
        assert any(v.ref() in trained for v in part.variables) != frozen
        unchanged = all(
            np.array_equal(v.numpy(), value)
            for v, value in zip(part.variables, old, strict=True)
        )
        assert unchanged == frozen
