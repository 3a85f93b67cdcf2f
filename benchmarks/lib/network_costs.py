"""Costs of one image in our network, counted from the network itself.

The network is built as a graph that never runs: no variable gets memory, so
that the largest one is counted as quickly as the smallest.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterable

import tensorflow as tf

from benchmarks.lib.flops import operation_flops
from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.models.network import Architecture, SimCLRNetwork
from tf_simclr.models.resnet import ResNetShape

# Operations whose outputs the backward pass reads: batch norm its input (the
# convolution's output), the next layer its own input, and the mixing of two
# streams its parts.
_KEPT = ("Conv2D", "Relu", "MaxPool", "Split", "Sub")


@dataclasses.dataclass(frozen=True)
class NetworkCosts:
    """Costs of one view in a forward pass, and sizes.

    Attributes:
      parameters: trained numbers, head included.
      flops: of convolutions and dense layers; a multiplication and an
        addition count as two.
      kept: numbers that a backward pass needs again.
      kept_between_blocks: those of them that are left if each residual block
        keeps its input alone and is computed again when its turn comes.
      largest_block: numbers that one block keeps while it is computed again.
      norms: batch-norm layers.
      norm_channels: their channels.
    """

    parameters: int
    flops: int
    kept: int
    kept_between_blocks: int
    largest_block: int
    norms: int
    norm_channels: int


def architecture(depth: int, width: float, selective: bool) -> Architecture:
    """The network of the paper's pretraining, with its head of 3 layers."""
    return Architecture(
        backbone="resnet",
        encoder=ResNetShape(depth, width, 0.0625 if selective else 0.0),
        head_layers=3,
        kept_head_layers=3,
        projection_dim=128,
        num_classes=0,
        classifier_layer=0,
    )


@functools.lru_cache
def network_costs(described: Architecture, image_size: int) -> NetworkCosts:
    """Counts the operations of one forward pass of one view."""
    with tf.Graph().as_default() as graph:
        network = SimCLRNetwork(described)
        network(tf.zeros([1, image_size, image_size, 3]), training=False)
    flops = 0
    kept: collections.Counter[str] = collections.Counter()
    last_output: dict[str, int] = {}
    for operation in graph.get_operations():
        flops += operation_flops(operation)
        if operation.type in _KEPT:
            block = _block(operation.name)
            sizes = [out.shape.num_elements() for out in operation.outputs]
            kept[block] += sum(sizes)
            last_output[block] = sizes[-1]
    norms = [m for m in network.submodules if isinstance(m, BatchNorm)]
    outside = kept.pop("")
    last_output.pop("")
    return NetworkCosts(
        parameters=_numbers(network.trainable_variables),
        flops=flops,
        kept=outside + sum(kept.values()),
        kept_between_blocks=outside + sum(last_output.values()),
        largest_block=max(kept.values()),
        norms=len(norms),
        norm_channels=sum(norm.gamma.shape[0] for norm in norms),
    )


def _block(name: str) -> str:
    """The residual block that an operation belongs to; '' outside of them."""
    before, found, after = name.rpartition("/residual_block")
    if not found:
        return ""
    return before + found + after.partition("/")[0]


def _numbers(variables: Iterable[tf.Variable]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
