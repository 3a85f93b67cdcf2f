"""Channel attention: selective kernels and squeeze-and-excitation."""

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.layers import ConvNorm, LayerFactory

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
        summary = tf.reduce_mean(inputs, [1, 2], keepdims=True)
        gate = self.expand(tf.nn.relu(self.reduce(summary)))
        return tf.sigmoid(gate) * inputs
