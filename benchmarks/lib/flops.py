"""Floating-point operations of a network, counted from its layers.

A multiplication and an addition are two operations. Only convolutions and
matrix products count: they are what matrix units are for.
"""

import math

import tensorflow as tf
import tf_keras as keras


def forward_flops(network: keras.Model, image_size: int) -> int:
    """Of one image's way through the network."""
    return sum(_layer_flops(network, image_size))


def training_flops(network: keras.Model, image_size: int) -> int:
    """Of one image's way forward and back.

    Back costs twice as much as forward, the gradient by the weights and that
    by the inputs; the first layer has no use for the latter. What
    `--recompute` and micro-batches compute a second time does not count.
    """
    layers = _layer_flops(network, image_size)
    return 3 * sum(layers) - layers[0]


def _layer_flops(network: keras.Model, image_size: int) -> list[int]:
    image = tf.TensorSpec([1, image_size, image_size, 3])
    forward = tf.function(
        lambda image: network(image, training=False), autograph=False
    )
    graph = forward.get_concrete_function(image).graph
    found = map(operation_flops, graph.get_operations())
    return [flops for flops in found if flops]


def operation_flops(operation: tf.Operation) -> int:
    """Of a convolution or a matrix product; 0 of anything else."""
    if operation.type not in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
        return 0
    # Each output is a sum over one column of the kernel, whose last axis is
    # the channels out; a depthwise kernel has one column for each channel.
    kernel = operation.inputs[1].shape
    depthwise = operation.type == "DepthwiseConv2dNative"
    terms = math.prod(kernel[:2] if depthwise else kernel[:-1])
    return 2 * math.prod(operation.outputs[0].shape) * terms
