"""The ResNet encoder, from images to named features."""

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.models.blocks import BlockGroup, recomputed
from tf_simclr.models.layers import ConvNorm, LayerFactory

# Depth -> (bottleneck blocks?, blocks per group).
ARCHITECTURES = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
    200: (True, (3, 24, 36, 3)),
}
STEM_FILTERS = 64
GROUP_FILTERS = (64, 128, 256, 512)


def scaled(filters: int, width_multiplier: float) -> int:
    """A channel count under the width multiplier; at least 1."""
    return max(1, round(filters * width_multiplier))


class Stem(keras.layers.Layer):
    """The layers before the first block group.

    'cifar' is one 3x3 convolution; the ImageNet stem is a 7x7 convolution of
    stride 2 (with `resnet_d`: three 3x3 convolutions) and a max-pool.
    """

    def __init__(
        self, make: LayerFactory, filters: int, *, cifar: bool, resnet_d: bool
    ):
        super().__init__(dtype=make.precision)
        self.pool = not cifar
        if cifar:
            self.units = [ConvNorm(make, filters, 3)]
        elif resnet_d:
            half = max(1, filters // 2)
            self.units = [
                ConvNorm(make, half, 3, 2),
                ConvNorm(make, half, 3),
                ConvNorm(make, filters, 3),
            ]
        else:
            self.units = [ConvNorm(make, filters, 7, 2)]

    def call(
        self, inputs: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the last convolution's output and the stem's output."""
        for unit in self.units[:-1]:
            inputs = unit(inputs, training=training)
        last = self.units[-1]
        convolved = last.conv(inputs)
        outputs = last.activate(convolved, training)
        if self.pool:
            outputs = tf.nn.max_pool2d(outputs, 3, 2, "SAME")
        return convolved, outputs


class Encoder(keras.layers.Layer):
    """A ResNet with optional selective kernels, without a classifier.

    Args:
      make: the layer factory (norm, padding, precision).
      depth: 18, 34, 50, 101, 152 or 200.
      width_multiplier: multiplies every channel count.
      sk_ratio: above 0: selective kernels and ResNet-D parts.
      se_ratio: above 0: squeeze-and-excitation.
      cifar_stem: whether the stem keeps the resolution.
    """

    def __init__(
        self,
        make: LayerFactory,
        depth: int = 50,
        width_multiplier: float = 1.0,
        sk_ratio: float = 0.0,
        se_ratio: float = 0.0,
        cifar_stem: bool = False,
    ):
        super().__init__(dtype=make.precision)
        bottleneck, blocks = ARCHITECTURES[depth]
        self.recompute = make.recompute
        self.stem = Stem(
            make,
            scaled(STEM_FILTERS, width_multiplier),
            cifar=cifar_stem,
            resnet_d=sk_ratio > 0,
        )
        self.groups = [
            BlockGroup(
                make,
                scaled(filters, width_multiplier),
                count,
                strides=1 if index == 0 else 2,
                bottleneck=bottleneck,
                sk_ratio=sk_ratio,
                se_ratio=se_ratio,
            )
            for index, (filters, count) in enumerate(
                zip(GROUP_FILTERS, blocks, strict=True)
            )
        ]
        self.feature_dim = scaled(GROUP_FILTERS[-1], width_multiplier) * (
            4 if bottleneck else 1
        )

    def freeze_up_to(
        self, block: int, *, update_statistics: bool = False
    ) -> None:
        """Freezes the stem and the groups 1..`block`.

        Args:
          block: -1 freezes nothing, 0 the stem, 4 the whole encoder: what the
            flag `fine_tune_after_block` means.
          update_statistics: whether batch norm in frozen parts still uses and
            updates batch statistics, as it does in the original release.
        """
        for index, part in enumerate([self.stem, *self.groups]):
            part.trainable = index > block
            for layer in part.submodules:
                if isinstance(layer, BatchNorm):
                    layer.updates_while_frozen = update_statistics

    def call(
        self, images: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Encodes a batch of images.

        Args:
          images: (N, H, W, 3), in [0, 1].
          training: whether batch norm uses and updates batch statistics.

        Returns:
          Features by the original's names: `initial_conv`,
          `initial_max_pool`, `block_group1` ... `block_group4` (N, h, w, c),
          and `final_avg_pool` (N, feature_dim) in float32. Where the layers
          are computed again for their gradients, there is no `initial_conv`
          in training: it would have to be kept.
        """
        images = tf.cast(images, self.compute_dtype)
        if training and self.recompute:
            outputs = recomputed(
                lambda images: self.stem(images, training=True)[1], images
            )
            features = {"initial_max_pool": outputs}
        else:
            convolved, outputs = self.stem(images, training=training)
            features = {"initial_conv": convolved, "initial_max_pool": outputs}
        for index, group in enumerate(self.groups, start=1):
            outputs = group(outputs, training=training)
            features[f"block_group{index}"] = outputs
        features["final_avg_pool"] = tf.reduce_mean(
            tf.cast(outputs, tf.float32), [1, 2]
        )
        return features
