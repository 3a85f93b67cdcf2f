"""Eight training steps of the original, repeated step by step."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf
from small_job import small_job

from tf_simclr.losses.classification import LABELLED
from tf_simclr.methods.finetune import FineTuning
from tf_simclr.methods.simclr import SimCLR
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import build_network
from tf_simclr.training.step import make_replica_step
from tf_simclr.weights.original import tf2_names

SETTINGS = golden.load_json("trajectory.json")
STEPS = 8


def build(config: dict):
    described = {
        "depth": config["resnet_depth"],
        "width": config["width_multiplier"],
        "sk": config["sk_ratio"],
        "size": config["image_size"],
    }
    architecture = golden.architecture(described)
    if config["train_mode"] == "finetune":
        architecture = architecture.for_classification(
            config["ft_proj_selector"], config["num_classes"]
        )
    network = build_network(architecture, config["image_size"])
    keys = tf2_names(list(named_variables(network)), architecture)
    golden.fill(network, keys)
    if config["zero_init_logits_layer"]:
        for variable in network.classifier.variables:
            variable.assign(tf.zeros_like(variable))
    return network, keys


def batches(pretraining: bool):
    arrays = golden.load("trajectory_inputs.npz")
    for views, labels in zip(arrays["views"], arrays["labels"], strict=True):
        pixels = tf.constant(views, tf.float32) / 255.0
        first, second = tf.split(pixels, 2, axis=-1)
        images = {"image": first}
        if pretraining:
            images = {"view1": first, "view2": second}
        yield {**images, "label": tf.constant(labels)}


@pytest.mark.parametrize("name", SETTINGS)
def test_eight_steps_equal_the_original(name):
    figures = SETTINGS[name]
    config = figures["config"]
    pretraining = config["train_mode"] == "pretrain"
    network, keys = build(config)
    objective = {"temperature": config["temperature"]}
    if not pretraining:
        objective = {
            "fine_tune_after_block": config["fine_tune_after_block"],
            # Frozen layers of the original still update their statistics: its
            # batch-norm layers are inside the layers that are marked as frozen.
            "frozen_batch_norm": "update",
        }
    job = small_job(
        network,
        stage=config["train_mode"],
        labels=range(config["num_classes"]),
        classes=config["num_classes"],
        objective=objective,
        optimizer={
            "optimizer": config["optimizer"],
            "learning_rate": config["learning_rate"],
            "weight_decay": config["weight_decay"],
            "momentum": config["momentum"],
            # Momentum and Adam decay biases, too, in the original.
            "weight_decay_on": "all_but_norm",
        },
    )
    method = SimCLR(job) if pretraining else FineTuning(job)
    method.optimizer.build(method.trainable)
    step = tf.function(make_replica_step(method))
    found = [step(batch) for batch in batches(pretraining)]
    assert len(found) == STEPS

    def losses(key):
        return np.array([float(metrics[key]) for metrics in found])

    def error(key, expected):
        return golden.relative_error(losses(key), np.array(expected))

    supervised = losses("supervised_loss")
    if pretraining:
        # A step hands over the sum, and how many views it is of.
        supervised /= losses(LABELLED)
    expected = np.array(figures["supervised_loss"])
    assert golden.relative_error(supervised, expected) < 2e-3
    if pretraining:
        # The original adds the two views' means up.
        expected = np.array(figures["contrastive_loss"]) / 2
        assert error("contrast_loss", expected) < 2e-3
        assert error("weight_decay", figures["weight_decay_loss"]) < 2e-3
    norms = figures["final_norms"]
    for ours, variable in named_variables(network).items():
        expected = norms[keys[ours]]
        norm = np.linalg.norm(variable.numpy())
        assert abs(norm - expected) <= 5e-3 * max(expected, 1e-3), ours
    batch = next(batches(pretraining))
    images = batch["view1" if pretraining else "image"]
    features = network(images, training=False).features
    expected = golden.load("trajectory.npz")[f"{name}/final_avg_pool_after"]
    assert golden.relative_error(features, expected) < 1e-2
