"""The ResNet encoder, from images to named features."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.model import ModelConfig
from tf_simclr.models import registry
from tf_simclr.models.blocks import (
    SELECTIVE_KERNEL_MIN_WIDTH,
    BlockGroup,
    recomputed,
)
from tf_simclr.models.encoder import Encoder, EncoderOutputs
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
# The original's recommendation; narrower networks do not tell it apart from
# other small ratios, since the middle width is at least 32.
_USUAL_SK_RATIO = 0.0625


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
        """Two (n, h, w, c): the last convolution's output and the stem's."""
        for unit in self.units[:-1]:
            inputs = unit(inputs, training=training)
        last = self.units[-1]
        convolved = last.conv(inputs)
        outputs = last.activate(convolved, training)
        if self.pool:
            outputs = tf.nn.max_pool2d(outputs, 3, 2, "SAME")
        return convolved, outputs


@dataclasses.dataclass(frozen=True)
class ResNetShape(registry.Shape):
    """The options of a ResNet.

    Attributes:
      depth: 18, 34, 50, 101, 152 or 200.
      width_multiplier: multiplies every channel count.
      sk_ratio: above 0: selective kernels and ResNet-D parts.
      se_ratio: above 0: squeeze-and-excitation.
      cifar_stem: whether the stem keeps the resolution.
    """

    depth: int = 50
    width_multiplier: float = 1.0
    sk_ratio: float = 0.0
    se_ratio: float = 0.0
    cifar_stem: bool = False

    @classmethod
    def described(cls, model: ModelConfig, image_size: int) -> "ResNetShape":
        """The options that the flags ask for."""
        return cls(
            depth=model.resnet_depth,
            width_multiplier=float(model.width_multiplier),
            sk_ratio=float(model.sk_ratio),
            se_ratio=float(model.se_ratio),
            cifar_stem=model.uses_cifar_stem(image_size),
        )

    @classmethod
    def of_blocks(
        cls,
        blocks: tuple[int, ...],
        *,
        bottleneck: bool,
        filters: int,
        selective: bool,
        squeeze: int | None,
        gate: int | None,
        cifar_stem: bool,
    ) -> "ResNetShape":
        """The options behind the sizes of the layers.

        Args:
          blocks: residual blocks per group.
          bottleneck: whether they are bottlenecks.
          filters: width of the last group's blocks.
          selective: whether they have selective kernels.
          squeeze: middle width of the last group's selective kernels.
          gate: width of its squeeze-and-excitation.
          cifar_stem: whether the stem keeps the resolution.

        Raises:
          ValueError: no depth has these blocks.
        """
        known = {found: depth for depth, found in ARCHITECTURES.items()}
        if (bottleneck, blocks) not in known:
            raise ValueError(f"a ResNet with {blocks} blocks")
        sk_ratio = 0.0
        if selective:
            sk_ratio = _USUAL_SK_RATIO
            if squeeze is not None and squeeze != max(
                int(filters * sk_ratio), SELECTIVE_KERNEL_MIN_WIDTH
            ):
                sk_ratio = squeeze / filters
        return cls(
            depth=known[bottleneck, blocks],
            width_multiplier=filters / GROUP_FILTERS[-1],
            sk_ratio=sk_ratio,
            se_ratio=gate / filters if gate else 0.0,
            cifar_stem=cifar_stem,
        )

    @property
    def title(self) -> str:
        """A name for headings."""
        return f"ResNet-{self.depth}"

    @property
    def summary(self) -> str:
        """The network in a few words."""
        kernels = ", selective kernels" if self.sk_ratio else ""
        return f"{self.title}, width {self.width_multiplier:g}{kernels}"

    @property
    def details(self) -> str:
        """All options in words."""
        return (
            f"{self.title}, width {self.width_multiplier:g}x, selective"
            f" kernels {self.sk_ratio:g}, squeeze-and-excitation"
            f" {self.se_ratio:g}, {'3x3' if self.cifar_stem else 'ImageNet'}"
            " stem"
        )


def blocks_in_all(total: int, *, bottleneck: bool) -> tuple[int, ...] | None:
    """The blocks per group of the ResNet with `total` of them; None if none."""
    for is_bottleneck, blocks in ARCHITECTURES.values():
        if is_bottleneck == bottleneck and sum(blocks) == total:
            return blocks
    return None


class ResNet(Encoder):
    """A ResNet with optional selective kernels."""

    Shape = ResNetShape

    def __init__(self, make: LayerFactory, shape: ResNetShape):
        super().__init__(make, shape)
        bottleneck, blocks = ARCHITECTURES[shape.depth]
        self.stem = Stem(
            make,
            scaled(STEM_FILTERS, shape.width_multiplier),
            cifar=shape.cifar_stem,
            resnet_d=shape.sk_ratio > 0,
        )
        self.groups = [
            BlockGroup(
                make,
                scaled(filters, shape.width_multiplier),
                count,
                strides=1 if index == 0 else 2,
                bottleneck=bottleneck,
                sk_ratio=shape.sk_ratio,
                se_ratio=shape.se_ratio,
            )
            for index, (filters, count) in enumerate(
                zip(GROUP_FILTERS, blocks, strict=True)
            )
        ]
        self.feature_dim = scaled(GROUP_FILTERS[-1], shape.width_multiplier) * (
            4 if bottleneck else 1
        )

    def parts(self) -> Mapping[str, keras.layers.Layer]:
        """The stem and the block groups."""
        groups = enumerate(self.groups, start=1)
        return {
            "stem": self.stem,
            **{f"block_group{index}": group for index, group in groups},
        }

    def encode(self, images: tf.Tensor, training: bool) -> EncoderOutputs:
        """Encodes images (n, H, W, 3) in [0, 1].

        The maps have the original's names: `initial_conv`,
        `initial_max_pool`, `block_group1` ... `block_group4`. With gradient
        checkpointing there is no `initial_conv` in training: it would have to
        be kept.
        """
        images = tf.cast(images, self.compute_dtype)
        if training and self.recompute:
            outputs = recomputed(
                lambda images: self.stem(images, training=True)[1], images
            )
            maps = {"initial_max_pool": outputs}
        else:
            convolved, outputs = self.stem(images, training=training)
            maps = {"initial_conv": convolved, "initial_max_pool": outputs}
        for index, group in enumerate(self.groups, start=1):
            outputs = group(outputs, training=training)
            maps[f"block_group{index}"] = outputs
        features = tf.reduce_mean(tf.cast(outputs, tf.float32), [1, 2])
        return EncoderOutputs(features, maps)
