"""The factory that hands norm, padding and precision down to every block."""

import dataclasses

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.models.small_maps import convolve


class PaddedConv(keras.layers.Conv2D):
    """A convolution without bias whose strided form pads explicitly.

    'SAME' padding depends on the input's size where the stride is above one;
    the original release pads (k - 1) pixels in all instead, the smaller half
    first, so that weights mean the same at every resolution.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        strides: int,
        *,
        small_maps: bool = False,
        flipped_gradients: bool = False,
        **kwargs,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding="same" if strides == 1 else "valid",
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(),
            **kwargs,
        )
        self.small_maps = small_maps
        self.flipped_gradients = flipped_gradients

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (N, H, W, C) to (N, H / strides, W / strides, filters)."""
        kernel, strides = self.kernel_size[0], self.strides[0]
        if strides > 1 and kernel > 1:
            inputs = pad_for_stride(inputs, kernel)
        if not self.small_maps:
            return super().call(inputs)
        return convolve(
            inputs,
            tf.convert_to_tensor(self.kernel),
            strides,
            self.padding.upper(),
            self.flipped_gradients,
        )


def pad_for_stride(images: tf.Tensor, kernel_size: int) -> tf.Tensor:
    """Pads (N, H, W, C) with kernel_size - 1 zeros per axis."""
    total = kernel_size - 1
    before = total // 2
    pads = [before, total - before]
    return tf.pad(images, [[0, 0], pads, pads, [0, 0]])


@dataclasses.dataclass(frozen=True)
class LayerFactory:
    """Makes the layers of a network under one policy.

    Attributes:
      batch_norm_decay: decay of the moving statistics.
      synchronized: whether batch norm spans all replicas.
      precision: a Keras dtype policy: 'float32', 'mixed_bfloat16', ...
      recompute: whether blocks are computed again for their gradients instead
        of kept.
      small_maps: whether convolutions of small maps take forms that are faster
        on CPUs.
      flipped_gradients: whether gradients by the inputs of these take one that
        is faster on CPUs without AVX-512.
    """

    batch_norm_decay: float = 0.9
    synchronized: bool = False
    precision: str = "float32"
    recompute: bool = False
    small_maps: bool = False
    flipped_gradients: bool = False

    def conv(
        self, filters: int, kernel_size: int, strides: int = 1
    ) -> PaddedConv:
        """A bias-free convolution."""
        return PaddedConv(
            filters,
            kernel_size,
            strides,
            small_maps=self.small_maps,
            flipped_gradients=self.flipped_gradients,
            dtype=self.precision,
        )

    def gate_conv(self, filters: int) -> keras.layers.Conv2D:
        """A 1x1 convolution with bias, as squeeze-and-excitation has."""
        return keras.layers.Conv2D(
            filters,
            1,
            kernel_initializer=keras.initializers.VarianceScaling(),
            dtype=self.precision,
        )

    def norm(
        self, *, zero_init: bool = False, center: bool = True
    ) -> BatchNorm:
        """Batch normalisation."""
        return BatchNorm(
            momentum=self.batch_norm_decay,
            center=center,
            zero_init=zero_init,
            synchronized=self.synchronized,
            dtype=self.precision,
        )

    def dense(self, units: int, *, use_bias: bool) -> keras.layers.Dense:
        """A dense layer with the original's N(0, 0.01) kernel."""
        return keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=self.precision,
        )


class ConvNorm(keras.layers.Layer):
    """Convolution, batch normalisation and, if asked, ReLU."""

    def __init__(
        self,
        make: LayerFactory,
        filters: int,
        kernel_size: int,
        strides: int = 1,
        *,
        relu: bool = True,
        zero_init: bool = False,
    ):
        super().__init__(dtype=make.precision)
        self.conv = make.conv(filters, kernel_size, strides)
        self.norm = make.norm(zero_init=zero_init)
        self.relu = relu

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps (N, H, W, C) to (N, H / strides, W / strides, filters)."""
        return self.activate(self.conv(inputs), training)

    def activate(self, inputs: tf.Tensor, training: bool) -> tf.Tensor:
        """Norm and activation of a convolution's output (n, H, W, C)."""
        outputs = self.norm(inputs, training=training)
        return tf.nn.relu(outputs) if self.relu else outputs
