"""Residual blocks: the stages of a ResNet are rows of these."""

import functools

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.attention import SelectiveKernel, SqueezeExcitation
from tf_simclr.models.layers import ConvNorm, LayerFactory, pad_for_stride
from tf_simclr.models.recompute import recomputed


class Shortcut(keras.layers.Layer):
    """The projection of a group's first block.

    With `resnet_d` (arXiv 1812.01187) a 2x2 average pool carries the stride
    and the convolution has none. As in the original release the pool is there
    in the group without stride, too.
    """

    def __init__(
        self, make: LayerFactory, filters: int, strides: int, resnet_d: bool
    ):
        super().__init__(dtype=make.precision)
        self.pool_strides = strides if resnet_d else None
        conv_strides = 1 if resnet_d else strides
        self.project = ConvNorm(make, filters, 1, conv_strides, relu=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.pool_strides == 1:
            inputs = tf.nn.avg_pool2d(inputs, 2, 1, "SAME")
        elif self.pool_strides is not None:
            padded = pad_for_stride(inputs, 2)
            inputs = tf.nn.avg_pool2d(padded, 2, self.pool_strides, "VALID")
        return self.project(inputs, training=training)


class ResidualBlock(keras.layers.Layer):
    """A post-activation residual block: basic or bottleneck.

    Args:
      make: the layer factory.
      filters: width of the block (a bottleneck's output has 4 times that).
      strides: stride of its (first) 3x3 convolution.
      bottleneck: 1x1, 3x3, 1x1 instead of two 3x3 convolutions.
      project: whether the shortcut is projected (first block of a group).
      sk_ratio: above 0: ResNet-D shortcuts and, in bottlenecks, selective
        kernels. Basic blocks have no selective kernel in the original release.
      se_ratio: above 0: squeeze-and-excitation before the sum.
    """

    def __init__(
        self,
        make: LayerFactory,
        filters: int,
        strides: int,
        *,
        bottleneck: bool,
        project: bool,
        sk_ratio: float = 0.0,
        se_ratio: float = 0.0,
    ):
        super().__init__(dtype=make.precision)
        filters_out = 4 * filters if bottleneck else filters
        self.shortcut = (
            Shortcut(make, filters_out, strides, sk_ratio > 0)
            if project
            else None
        )
        last = {"relu": False, "zero_init": True}
        if bottleneck:
            spatial = (
                SelectiveKernel(make, filters, strides, sk_ratio)
                if sk_ratio > 0
                else ConvNorm(make, filters, 3, strides)
            )
            self.units = [
                ConvNorm(make, filters, 1),
                spatial,
                ConvNorm(make, filters_out, 1, **last),
            ]
        else:
            self.units = [
                ConvNorm(make, filters, 3, strides),
                ConvNorm(make, filters_out, 3, **last),
            ]
        self.gate = (
            SqueezeExcitation(
                make, max(1, int(filters * se_ratio)), filters_out
            )
            if se_ratio > 0
            else None
        )

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        shortcut = inputs
        if self.shortcut is not None:
            shortcut = self.shortcut(inputs, training=training)
        outputs = inputs
        for unit in self.units:
            outputs = unit(outputs, training=training)
        if self.gate is not None:
            outputs = self.gate(outputs)
        return tf.nn.relu(outputs + shortcut)


class BlockGroup(keras.layers.Layer):
    """Residual blocks of one resolution; the first carries the stride."""

    def __init__(
        self,
        make: LayerFactory,
        filters: int,
        blocks: int,
        strides: int,
        **block_options,
    ):
        super().__init__(dtype=make.precision)
        self.recompute = make.recompute
        self.blocks = [
            ResidualBlock(
                make,
                filters,
                strides if index == 0 else 1,
                project=index == 0,
                **block_options,
            )
            for index in range(blocks)
        ]

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        for block in self.blocks:
            run = functools.partial(block, training=training)
            again = training and self.recompute
            inputs = recomputed(run, inputs) if again else run(inputs)
        return inputs
