"""Residual blocks: attention, recomputation, and the stages of a ResNet."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.batch_norm import keeping_statistics
from tf_simclr.models.layers import ConvNorm, LayerFactory, pad_for_stride


def recomputed(
    function: Callable[[tf.Tensor], tf.Tensor], inputs: tf.Tensor
) -> tf.Tensor:
    """function(inputs), of which only `inputs` is kept for the gradient.

    When the gradient arrives the function is computed again, and batch norm
    then leaves its moving statistics alone (arXiv 1604.06174).

    Args:
      function: calls layers whose variables exist; what it computes depends
        on its input and on those variables alone.
      inputs: a float tensor.
    """

    @tf.custom_gradient
    def once(inputs: tf.Tensor):
        def gradient(
            upstream: tf.Tensor, variables: Sequence[tf.Variable] | None = None
        ):
            variables = list(variables or [])
            with keeping_statistics(), tf.GradientTape() as tape:
                again = _after(upstream, inputs)
                tape.watch(again)
                outputs = function(again)
            by_inputs, *by_variables = tape.gradient(
                outputs, [again, *variables], output_gradients=upstream
            )
            return by_inputs, by_variables

        return function(inputs), gradient

    return once(inputs)


def _after(first: tf.Tensor, then: tf.Tensor) -> tf.Tensor:
    """`then`, which compilers must not know before `first` is known.

    Otherwise they would find that the same layers are computed twice, compute
    them once and remember the results. XLA ignores control dependencies, so a
    zero that seems to depend on the data is added.
    """
    element = tf.cast(tf.reshape(first, [-1])[0], tf.bool)
    zero = tf.where(element == element, 0.0, float("nan"))
    return then + tf.cast(zero, then.dtype)


# Lower bound of the middle width, as in the original release.
SELECTIVE_KERNEL_MIN_WIDTH = 32


class SelectiveKernel(keras.layers.Layer):
    """Two 3x3 streams, mixed per channel by a softmax over the streams.

    Selective kernels (arXiv 1903.06586) as SimCLRv2 has them: both streams
    are plain 3x3 convolutions, computed as one of twice the filters; the
    middle width is max(int(filters * ratio), 32).
    """

    def __init__(
        self, make: LayerFactory, filters: int, strides: int, ratio: float
    ):
        super().__init__(dtype=make.precision)
        width = max(int(filters * ratio), SELECTIVE_KERNEL_MIN_WIDTH)
        self.streams = ConvNorm(make, 2 * filters, 3, strides)
        self.squeeze = ConvNorm(make, width, 1)
        self.mix = make.conv(2 * filters, 1)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps (N, H, W, C) to (N, H / strides, W / strides, filters)."""
        first, second = tf.split(
            self.streams(inputs, training=training), 2, axis=-1
        )
        summary = tf.reduce_mean(first + second, [1, 2], keepdims=True)
        mixing = self.mix(self.squeeze(summary, training=training))
        # A softmax over two streams is a sigmoid of their difference.
        logits_first, logits_second = tf.split(
            tf.cast(mixing, tf.float32), 2, axis=-1
        )
        weight = tf.cast(tf.sigmoid(logits_first - logits_second), first.dtype)
        return second + weight * (first - second)


class SqueezeExcitation(keras.layers.Layer):
    """Scales each channel by a learned gate (arXiv 1709.01507).

    Args:
      make: the layer factory.
      squeeze_width: channels of the bottleneck of the gate.
      filters: channels of the input.
    """

    def __init__(self, make: LayerFactory, squeeze_width: int, filters: int):
        super().__init__(dtype=make.precision)
        self.reduce = make.gate_conv(squeeze_width)
        self.expand = make.gate_conv(filters)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Scales the channels of (N, H, W, C); same shape."""
        summary = tf.reduce_mean(inputs, [1, 2], keepdims=True)
        gate = self.expand(tf.nn.relu(self.reduce(summary)))
        return tf.sigmoid(gate) * inputs


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
        """Maps (N, H, W, C) to (N, H / strides, W / strides, filters)."""
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
        """Maps (N, H, W, C) to (N, H / strides, W / strides, filters out)."""
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
        """Maps (N, H, W, C) through the blocks; the first one may stride."""
        for block in self.blocks:
            run = functools.partial(block, training=training)
            again = training and self.recompute
            inputs = recomputed(run, inputs) if again else run(inputs)
        return inputs
