"""Scores in float32 of a network that trains in 16 bits."""

from collections.abc import Callable

import tensorflow as tf

from tf_simclr.evaluation.evaluate import Evaluator
from tf_simclr.models.momentum import copy_weights
from tf_simclr.models.network import (
    NetworkOutputs,
    SimCLRNetwork,
    build_network,
)


class Float32Copy:
    """A network as it is exported: its weights, all arithmetic in float32.

    It is no part of the network: no checkpoint and no optimizer knows it. It
    takes memory from the first evaluation on.

    Args:
      network: trains under any precision.
      image_size: side of the images.
    """

    def __init__(self, network: SimCLRNetwork, image_size: int):
        self._network = network
        self._image_size = image_size
        self._copy: SimCLRNetwork | None = None

    @property
    def classifier(self) -> tf.Module | None:
        """The classifier of the network."""
        return self._network.classifier

    @property
    def distribute_strategy(self) -> tf.distribute.Strategy:
        """The devices of the network and of its copy."""
        return self._network.distribute_strategy

    def refresh(self) -> None:
        """Takes over the weights and moving statistics of the network."""
        with self.distribute_strategy.scope():
            if self._copy is None:
                # Built when the training's own variables are there: it draws
                # from the same random stream.
                self._copy = build_network(
                    self._network.architecture, self._image_size
                )
            copy_weights(self._network, self._copy)

    def __call__(
        self, images: tf.Tensor, training: bool = False
    ) -> NetworkOutputs:
        """The outputs of the network as of the last `refresh`."""
        return self._copy(images, training=training)


def scored_in_float32(
    network: SimCLRNetwork,
    policy: str,
    image_size: int,
    make: Callable[[SimCLRNetwork | Float32Copy], Evaluator],
) -> Evaluator:
    """Returns an evaluator in the arithmetic of exports and `--mode=eval`.

    Args:
      network: in training.
      policy: its Keras dtype policy; under float32 it is scored itself, under
        others a copy.
      image_size: side of the images.
      make: makes the evaluator of a network.
    """
    if policy == "float32":
        return make(network)
    copy = Float32Copy(network, image_size)
    return make(copy).preparing(copy.refresh)
