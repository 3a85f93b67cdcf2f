"""The part that all backbones share: named outputs, and freezing."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models import registry
from tf_simclr.models.batch_norm import BatchNorm
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.momentum import named_variables


class EncoderOutputs(NamedTuple):
    """Features of a batch of images.

    Attributes:
      features: float32 (N, feature_dim), pooled.
      maps: {name: (N, h, w, c)}, by the backbone's own names.
    """

    features: tf.Tensor
    maps: dict[str, tf.Tensor]


class Encoder(keras.layers.Layer):
    """A network from images to features, without a classifier.

    A backbone is a subclass. Its layers are attributes or stand in lists that
    are: the attributes' names are those of the checkpoint.

    Attributes:
      Shape: the class of its options.
      feature_dim: width of the features; set in the constructor.

    Args:
      make: makes its layers; tells norm and precision.
      shape: its options.
    """

    Shape: type[registry.Shape] = registry.Shape
    feature_dim: int

    def __init__(self, make: LayerFactory, shape: registry.Shape):
        # Images come in float32, whatever the precision of the layers.
        super().__init__(dtype=make.precision, autocast=False)
        self.recompute = make.recompute

    def parts(self) -> Mapping[str, keras.layers.Layer]:
        """{name of a group: the layer with all its variables}, in order."""
        raise NotImplementedError

    def encode(self, images: tf.Tensor, training: bool) -> EncoderOutputs:
        """Encodes a batch of images.

        Args:
          images: (N, H, W, 3), in [0, 1].
          training: whether batch norm uses and updates batch statistics.
        """
        raise NotImplementedError

    def load_keras_weights(self, path: str) -> None:
        """Takes over weights that Keras wrote, from the file of
        `--backbone_weights`.

        Raises:
          ValueError, OSError: the file holds no weights of this network.
        """
        raise NotImplementedError

    def call(self, images: tf.Tensor, training: bool = False) -> EncoderOutputs:
        """Runs `encode` on images (N, H, W, 3), in [0, 1]."""
        return self.encode(images, training)

    def freeze_up_to(
        self, block: int, *, update_statistics: bool = False
    ) -> None:
        """Freezes the first group and the groups 1..`block`.

        Args:
          block: -1 freezes nothing, 0 the first group, 4 the whole encoder:
            the meaning of the flag `fine_tune_after_block`.
          update_statistics: whether batch norm in frozen parts still uses and
            updates batch statistics, as it does in the original release.
        """
        for index, part in enumerate(self.parts().values()):
            part.trainable = index > block
            for layer in part.submodules:
                if isinstance(layer, BatchNorm):
                    layer.updates_while_frozen = update_statistics


def check_built(
    encoder: Encoder, backbone: registry.Backbone, outputs: EncoderOutputs
) -> None:
    """Compares an encoder that has variables with its registration.

    Args:
      encoder: was called.
      backbone: its registration.
      outputs: its outputs in inference.

    Raises:
      ValueError: names what does not fit.
    """
    name, parts = backbone.name, encoder.parts()
    if tuple(parts) != backbone.groups:
        raise ValueError(
            f"The parts of the backbone {name!r} are {tuple(parts)}, not the"
            f" groups that it registers: {backbone.groups}."
        )
    if tuple(outputs.maps) != backbone.maps:
        raise ValueError(
            f"The backbone {name!r} returns the maps {tuple(outputs.maps)}, not"
            f" those that it registers: {backbone.maps}."
        )
    features = outputs.features
    if features.dtype != tf.float32 or features.shape[1:] != [
        encoder.feature_dim
    ]:
        raise ValueError(
            f"The features of the backbone {name!r} must be float32 (N,"
            f" {encoder.feature_dim}). Received: {features.dtype.name}"
            f" {features.shape}"
        )
    every = {variable.ref() for variable in encoder.variables}
    in_parts = [v.ref() for part in parts.values() for v in part.variables]
    if set(in_parts) != every or len(in_parts) != len(every):
        raise ValueError(
            f"Each variable of the backbone {name!r} must belong to one of its"
            f" parts; of {len(every)} variables they have {len(in_parts)}."
        )
    named = {variable.ref() for variable in named_variables(encoder).values()}
    if named != every:
        raise ValueError(
            f"Only {len(named)} of the {len(every)} variables of the backbone"
            f" {name!r} belong to layers that are attributes, or stand in lists"
            " that are: checkpoints would lose the others."
        )
