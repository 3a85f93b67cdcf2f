"""Encoder and heads as one network, and the architecture that defines it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config.model import ModelConfig
from tf_simclr.errors import UserError
from tf_simclr.models.encoder import EncoderOutputs, check_built
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.registry import (
    DEFAULT_BACKBONE,
    Shape,
    backbone_named,
)


class ProjectionLayer(keras.layers.Layer):
    """Dense without bias, batch norm, and ReLU in all layers but the last.

    The last layer's batch norm has no shift (beta), as in the original
    release.
    """

    def __init__(self, make: LayerFactory, units: int, *, last: bool):
        super().__init__(dtype=make.precision)
        self.dense = make.dense(units, use_bias=False)
        self.norm = make.norm(center=not last)
        self.relu = not last

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps (N, d) to (N, units)."""
        outputs = self.norm(self.dense(inputs), training=training)
        return tf.nn.relu(outputs) if self.relu else outputs


class ProjectionHead(keras.layers.Layer):
    """The MLP between the encoder and the contrastive loss (paper, 3).

    Args:
      make: the layer factory.
      input_dim: width of the encoder's features and of the middle layers.
      output_dim: width of the last layer.
      num_layers: depth of the whole head; 0 passes the features on.
      keep_layers: how many of them to build. A fine-tuned network keeps just
        the layers before its classifier.
    """

    def __init__(
        self,
        make: LayerFactory,
        input_dim: int,
        output_dim: int,
        num_layers: int,
        keep_layers: int | None = None,
    ):
        super().__init__(dtype=make.precision)
        kept = num_layers if keep_layers is None else keep_layers
        self.projections = [
            ProjectionLayer(
                make,
                output_dim if index == num_layers - 1 else input_dim,
                last=index == num_layers - 1,
            )
            for index in range(kept)
        ]

    def call(
        self, features: tf.Tensor, training: bool = False
    ) -> list[tf.Tensor]:
        """Returns [input, layer 1, ..., layer n], each (N, d), float32."""
        hiddens = [features]
        outputs = features
        for layer in self.projections:
            outputs = layer(outputs, training=training)
            hiddens.append(tf.cast(outputs, tf.float32))
        return hiddens


class Classifier(keras.layers.Layer):
    """A linear classifier in float32.

    Args:
      num_classes: number of classes.
      zero_init: whether the kernel starts at zero, as fine-tuning wants.
    """

    def __init__(self, num_classes: int, *, zero_init: bool = False):
        super().__init__(dtype="float32")
        make = LayerFactory()
        self.dense = make.dense(num_classes, use_bias=True)
        if zero_init:
            self.dense.kernel_initializer = keras.initializers.Zeros()

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (N, d) to logits (N, num_classes)."""
        return self.dense(inputs)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Everything that decides which variables a network has.

    It is stored beside the weights, so that they can be read back without
    repeating any flag.

    Attributes:
      backbone: the name of the encoder.
      encoder: its options.
      head_layers: depth of the projection head.
      kept_head_layers: how many of them the network has.
      projection_dim: width of the projection head's last layer.
      num_classes: classes of the classifier; 0: no classifier.
      classifier_layer: head layer that the classifier reads (0: encoder).
    """

    backbone: str
    encoder: Shape
    head_layers: int
    kept_head_layers: int
    projection_dim: int
    num_classes: int
    classifier_layer: int

    @classmethod
    def for_pretraining(
        cls, model: ModelConfig, image_size: int, num_classes: int
    ) -> "Architecture":
        """Encoder, the whole head and, with classes, the online classifier."""
        encoder = backbone_named(model.backbone).encoder_class()
        return cls(
            backbone=model.backbone,
            encoder=encoder.Shape.described(model, image_size),
            head_layers=model.head_layers,
            kept_head_layers=model.head_layers,
            projection_dim=model.proj_out_dim,
            num_classes=num_classes,
            classifier_layer=model.selected_layer if num_classes else 0,
        )

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Architecture":
        """The architecture that `to_json` has written.

        Raises:
          UserError: its backbone is not registered.
        """
        values = dict(record)
        backbone = values.pop("backbone", DEFAULT_BACKBONE)
        shape = backbone_named(backbone).encoder_class().Shape
        options = {
            field.name: values.pop(field.name)
            for field in dataclasses.fields(shape)
        }
        return cls(backbone=backbone, encoder=shape(**options), **values)

    def to_json(self) -> dict[str, Any]:
        """One flat mapping; that of a ResNet does not name its backbone."""
        found = dataclasses.asdict(self)
        options = found.pop("encoder")
        if self.backbone == DEFAULT_BACKBONE:
            found.pop("backbone")
        return {**options, **found}

    @property
    def title(self) -> str:
        """The encoder's name for headings."""
        return self.encoder.title or self.backbone

    @property
    def summary(self) -> str:
        """The encoder in a few words."""
        return self.encoder.summary or self.title

    @property
    def details(self) -> str:
        """The encoder with all its options."""
        return self.encoder.details or self.summary

    def for_classification(
        self, classifier_layer: int, num_classes: int
    ) -> "Architecture":
        """The encoder with a classifier on head layer k, and the head cut
        there."""
        return dataclasses.replace(
            self,
            kept_head_layers=classifier_layer,
            num_classes=num_classes,
            classifier_layer=classifier_layer,
        )

    def without_classifier(self) -> "Architecture":
        """The network without its classifier."""
        return dataclasses.replace(self, num_classes=0, classifier_layer=0)


class NetworkOutputs(NamedTuple):
    """Outputs of a network for N images.

    Attributes:
      features: float32 (N, feature_dim), the encoder's.
      hiddens: [input of the projection head, its layer 1, ..., layer n]; the
        layers float32.
      logits: (N, num_classes), float32; None without a classifier.
      maps: {name: (N, h, w, c)}, the encoder's feature maps.
    """

    features: tf.Tensor
    hiddens: list[tf.Tensor]
    logits: tf.Tensor | None
    maps: dict[str, tf.Tensor]

    @property
    def projection(self) -> tf.Tensor:
        """(N, d), output of the last layer of the projection head; what goes
        into it where the network has none of its layers."""
        return self.hiddens[-1]

    def by_name(self) -> dict[str, tf.Tensor]:
        """All of them by the original's names: the feature maps (n, h, w, c),
        `final_avg_pool`, `proj_head_input`, `proj_hidden1` ...,
        `proj_head_output` and, with a classifier, `logits_sup`."""
        named = {
            **self.maps,
            "final_avg_pool": self.features,
            "proj_head_input": self.hiddens[0],
        }
        for index, hidden in enumerate(self.hiddens[1:], start=1):
            named[f"proj_hidden{index}"] = hidden
        named["proj_head_output"] = self.projection
        if self.logits is not None:
            named["logits_sup"] = self.logits
        return named


class SimCLRNetwork(keras.Model):
    """Encoder, projection head and classifier.

    Args:
      architecture: what to build.
      make: the layer factory.
      zero_init_classifier: whether the classifier starts at zero.
    """

    def __init__(
        self,
        architecture: Architecture,
        make: LayerFactory | None = None,
        *,
        zero_init_classifier: bool = False,
    ):
        super().__init__()
        make = make or LayerFactory()
        self.architecture = architecture
        encoder_class = backbone_named(architecture.backbone).encoder_class()
        self.encoder = encoder_class(make, architecture.encoder)
        self.projection_head = ProjectionHead(
            make,
            self.encoder.feature_dim,
            architecture.projection_dim,
            architecture.head_layers,
            architecture.kept_head_layers,
        )
        self.classifier = (
            Classifier(architecture.num_classes, zero_init=zero_init_classifier)
            if architecture.num_classes
            else None
        )

    @property
    def embedding_dim(self) -> int:
        """Width of `proj_head_output`, where the whole head is kept."""
        if self.architecture.head_layers:
            return self.architecture.projection_dim
        return self.encoder.feature_dim

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        stop_classifier_gradient: bool = False,
    ) -> NetworkOutputs:
        """Runs the network.

        Args:
          images: (N, H, W, 3), in [0, 1].
          training: whether batch norm uses batch statistics.
          stop_classifier_gradient: whether the classifier's loss stops before
            the encoder, as for the online classifier of pretraining.
        """
        features, maps = self.encoder(images, training=training)
        hiddens = self.projection_head(features, training=training)
        logits = None
        if self.classifier is not None:
            inputs = hiddens[self.architecture.classifier_layer]
            if stop_classifier_gradient:
                inputs = tf.stop_gradient(inputs)
            logits = self.classifier(inputs)
        return NetworkOutputs(features, hiddens, logits, maps)


def build_network(
    architecture: Architecture,
    image_size: int,
    make: LayerFactory | None = None,
    *,
    zero_init_classifier: bool = False,
) -> SimCLRNetwork:
    """A network whose variables exist, for images of `image_size`.

    Raises:
      UserError: the images are too small for the backbone.
      ValueError: the encoder is not what its registration says.
    """
    backbone = backbone_named(architecture.backbone)
    if image_size < backbone.min_image_size:
        raise UserError(
            f"--image_size must be at least {backbone.min_image_size} for the"
            f" backbone {backbone.name}. Received: {image_size}"
        )
    network = SimCLRNetwork(
        architecture, make, zero_init_classifier=zero_init_classifier
    )
    # A concrete batch of one builds every layer; tracing alone would leave
    # the variables' shapes to the first real batch.
    outputs = network(tf.zeros([1, image_size, image_size, 3]), training=False)
    check_built(
        network.encoder,
        backbone,
        EncoderOutputs(outputs.features, outputs.maps),
    )
    return network
