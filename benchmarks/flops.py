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
    found = []
    for op in forward.get_concrete_function(image).graph.get_operations():
        if op.type == "Conv2D":
            # Kernels are (height, width, channels in, channels out).
            per_output = math.prod(op.inputs[1].shape[:-1])
        elif op.type == "DepthwiseConv2dNative":
            # Of one channel each.
            per_output = math.prod(op.inputs[1].shape[:2])
        elif op.type == "MatMul":
            per_output = op.inputs[0].shape[-1]
        else:
            continue
        found.append(2 * math.prod(op.outputs[0].shape) * per_output)
    return found
