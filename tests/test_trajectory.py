"""Eight training steps of the original, repeated step by step."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.config import ObjectiveConfig, OptimizerConfig
from tf_simclr.losses.classification import LABELLED, supervised_loss
from tf_simclr.models.momentum import named_variables
from tf_simclr.models.network import build_network
from tf_simclr.modes.contrastive import contrastive_objective
from tf_simclr.modes.supervised_task import classification_objective
from tf_simclr.optimizers.factory import decayed_in_loss, make_optimizer
from tf_simclr.optimizers.schedule import WarmupCosine
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
    if config["train_mode"] == "finetune":
        # Frozen layers of the original still update their statistics: its
        # batch-norm layers are inside the layers that are marked as frozen.
        network.encoder.freeze_up_to(
            config["fine_tune_after_block"], update_statistics=True
        )
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
    optimizer_config = OptimizerConfig(
        optimizer=config["optimizer"],
        weight_decay=config["weight_decay"],
        momentum=config["momentum"],
        # Momentum and Adam decay biases, too, in the original.
        weight_decay_on="all_but_norm",
    )
    # So long a cosine is a constant.
    schedule = WarmupCosine(config["learning_rate"], 0, 10**9)
    classifier = network.classifier.trainable_variables
    trainable = network.trainable_variables
    optimizer = make_optimizer(
        optimizer_config, schedule, trainable, classifier
    )
    decayed = decayed_in_loss(optimizer_config, network, classifier)
    if pretraining:
        objective, _ = contrastive_objective(
            network,
            ObjectiveConfig(temperature=config["temperature"]),
            decayed,
            config["weight_decay"],
        )
    else:
        objective = classification_objective(
            network,
            lambda batch, rows: {
                "supervised_loss": supervised_loss(
                    batch["label"], rows["logits"]
                )
            },
            decayed,
            config["weight_decay"],
        )
    optimizer.build(trainable)
    step = tf.function(make_replica_step(objective, trainable, optimizer))
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
