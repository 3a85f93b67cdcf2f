"""The published networks: their sizes, without ever allocating them."""

import dataclasses

import pytest
import tensorflow as tf
import tiny

from tf_simclr.config import ModelConfig
from tf_simclr.config.flat import from_flat
from tf_simclr.config.zoo import ZOO, zoo_table
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture, SimCLRNetwork


def encoder_parameters(name: str) -> int:
    """Parameters of the encoder, running statistics included."""
    model = ModelConfig(**ZOO[name].flags)
    architecture = dataclasses.replace(
        Architecture.for_pretraining(model, 224, 0), kept_head_layers=0
    )
    # Variables of a graph that is never run take no memory.
    with tf.Graph().as_default():
        network = SimCLRNetwork(architecture)
        network(tf.zeros([1, 64, 64, 3]))
        return sum(v.shape.num_elements() for v in network.variables)


@pytest.mark.parametrize("name", ZOO)
def test_parameters_equal_the_published_column(name):
    assert round(encoder_parameters(name) / 1e6) == ZOO[name].parameters


def test_names_and_flags():
    assert len(ZOO) == 13
    assert list(ZOO)[0] == "r50_1x_sk0" and list(ZOO)[-1] == "r152_3x_sk1"
    config = from_flat({"model": "r152_3x_sk1"}).model
    assert (config.resnet_depth, config.width_multiplier) == (152, 3.0)
    assert config.sk_ratio == 0.0625


def test_bad_names_and_contradictions():
    with pytest.raises(UserError, match="takes one of r50_1x_sk0"):
        from_flat({"model": "r51"})
    with pytest.raises(UserError, match="contradicts --resnet_depth=18"):
        from_flat({"model": "r50_1x_sk0", "resnet_depth": 18})


def test_the_zoo_stands_in_the_docs():
    result = tiny.run("--mode=zoo")
    assert result.returncode == 0
    assert result.stdout.strip() == zoo_table()
    assert zoo_table() in (tiny.ROOT / "docs" / "zoo.md").read_text()
