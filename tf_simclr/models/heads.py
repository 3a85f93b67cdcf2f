"""The projection head and the classifier."""

import tensorflow as tf
import tf_keras as keras

from tf_simclr.models.layers import LayerFactory


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
