"""ConvNeXt (arXiv 2201.03545) of `tf_keras.applications` as a backbone."""

import dataclasses
import math
import os
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models import registry
from tf_simclr.models.encoder import Encoder, EncoderOutputs
from tf_simclr.models.layers import LayerFactory

# Of ImageNet's pixels in [0, 1], as Keras's weights expect them.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
# Keras takes any other name for the prefix of a TensorFlow checkpoint, and
# finds nothing in it without an error.
_SUFFIXES = (".h5", ".hdf5", ".keras")


class DepthwiseConv(keras.layers.Conv2D):
    """A convolution with one group per channel, and a stride of 1.

    TensorFlow has gradients of a grouped convolution on CPUs only under XLA;
    the depthwise operation computes the same everywhere. The weights have
    Keras's shapes: (k, k, 1, C) and (C,).
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (N, H, W, C) to the same shape."""
        kernel = tf.transpose(self.kernel, [0, 1, 3, 2])
        outputs = tf.nn.depthwise_conv2d(inputs, kernel, [1, 1, 1, 1], "SAME")
        return tf.nn.bias_add(outputs, self.bias)


def gelu(inputs: tf.Tensor) -> tf.Tensor:
    """x * P(N(0, 1) <= x), without `tf.nn.gelu`'s erfc, which ONNX lacks."""
    return 0.5 * inputs * (1.0 + tf.math.erf(inputs / math.sqrt(2.0)))


class Group(keras.layers.Layer):
    """Owns the layers that are frozen together."""

    def __init__(self, layers: Sequence[keras.layers.Layer]):
        super().__init__()
        self.layers = list(layers)


@dataclasses.dataclass(frozen=True)
class ConvNeXtTinyShape(registry.Shape):
    """ConvNeXt-Tiny has no options."""

    @property
    def title(self) -> str:
        """A name for headings."""
        return "ConvNeXt-Tiny"


class ConvNeXtTiny(Encoder):
    """ConvNeXt-Tiny from images in [0, 1] to its pooled, normalised features.

    It has layer norm, so that the flags of batch norm apply to the projection
    head alone, and neither dropout nor stochastic depth.
    """

    Shape = ConvNeXtTinyShape

    def __init__(self, make: LayerFactory, shape: ConvNeXtTinyShape):
        super().__init__(make, shape)
        model = keras.models.clone_model(
            _application(), clone_function=_in_precision(make.precision)
        )
        groups, ends = _groups(model)
        self.stem = Group(groups[0])
        self.stages = [Group(layers) for layers in groups[1:]]
        self.feature_dim = model.output_shape[-1]
        outputs = keras.Model(model.inputs, [*ends, model.output])
        # As an attribute the model would be tracked, and its numbering of the
        # layers would name the variables in checkpoints.
        self._run = lambda images, training: outputs(images, training=training)

    def parts(self) -> Mapping[str, keras.layers.Layer]:
        """The stem and the stages."""
        stages = enumerate(self.stages, start=1)
        return {
            "stem": self.stem,
            **{f"stage{index}": stage for index, stage in stages},
        }

    def encode(self, images: tf.Tensor, training: bool) -> EncoderOutputs:
        """Encodes images (n, H, W, 3) in [0, 1]; the maps are those of
        `parts`."""
        images = tf.cast(images, tf.float32)
        images = (images - tf.constant(_MEAN)) / tf.constant(_DEVIATION)
        *maps, features = self._run(images, training)
        return EncoderOutputs(
            features, dict(zip(self.parts(), maps, strict=True))
        )

    def load_keras_weights(self, path: str) -> None:
        """Takes over weights of `ConvNeXtTiny(include_top=False)`.

        Raises:
          ValueError, OSError: the file holds something else.
        """
        if not path.endswith(_SUFFIXES):
            raise ValueError(f"its name ends in none of {_SUFFIXES}")
        if not os.path.isfile(path):
            raise OSError("there is no such file")
        stored = _application()
        stored.load_weights(path)
        groups = (group.layers for group in self.parts().values())
        ours = [layer for layers in groups for layer in layers]
        for layer, theirs in zip(ours, _with_weights(stored), strict=True):
            for variable, value in zip(
                layer.weights, theirs.get_weights(), strict=True
            ):
                variable.assign(value)


def _application() -> keras.Model:
    return keras.applications.ConvNeXtTiny(
        weights=None,
        include_top=False,
        include_preprocessing=False,
        input_shape=(None, None, 3),
        pooling="avg",
    )


def _in_precision(policy: str):
    """Returns a function that copies a layer to compute under `policy`."""

    def copied(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.Model):
            return keras.models.clone_model(layer, clone_function=copied)
        kind, config = type(layer), layer.get_config()
        if "tf.__operators__" not in layer.name:
            # Pooled features are float32.
            pooled = len(layer.output_shape) == 2
            config["dtype"] = "float32" if pooled else policy
        if config.get("activation") == "gelu":
            config["activation"] = gelu
        if config.get("groups", 1) > 1:
            kind = DepthwiseConv
        return kind.from_config(config)

    return copied


def _groups(
    model: keras.Model,
) -> tuple[list[list[keras.layers.Layer]], list[tf.Tensor]]:
    """The layers with weights of the stem and each stage, and the feature map
    at the end of each."""
    first_of_next = [
        f"{model.name}_stage_0_block_0_depthwise_conv",
        *(f"{model.name}_downsampling_block_{i}" for i in range(3)),
    ]
    groups: list[list[keras.layers.Layer]] = [[]]
    ends = []
    previous = model.layers[0]
    for layer in model.layers[1:]:
        if layer.name in first_of_next:
            groups.append([])
        pooling = isinstance(layer, keras.layers.GlobalAveragePooling2D)
        if pooling or layer.name in first_of_next:
            # Within this model, not within a nested one.
            ends.append(previous.get_output_at(-1))
        groups[-1] += _with_weights(layer)
        previous = layer
    return groups, ends


def _with_weights(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The innermost layers that have weights, in order."""
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            yield from _with_weights(inner)
    elif layer.weights:
        yield layer
