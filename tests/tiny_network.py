"""The smallest network that has all that an objective asks for."""

import tensorflow as tf
import tf_keras as keras

from tf_simclr.config import ModelConfig
from tf_simclr.models.blocks import recomputed
from tf_simclr.models.layers import ConvNorm, LayerFactory
from tf_simclr.models.network import (
    Architecture,
    Classifier,
    NetworkOutputs,
    ProjectionLayer,
)


class TinyNetwork(keras.Model):
    """One convolution, one head layer and a classifier: soon traced."""

    def __init__(self, make: LayerFactory, classes: int = 3, dim: int = 8):
        super().__init__()
        self.architecture = Architecture.for_pretraining(
            ModelConfig(num_proj_layers=1, proj_out_dim=dim), 8, classes
        )
        self.embedding_dim = dim
        self.recompute = make.recompute
        self.conv = ConvNorm(make, 6, 3, 2)
        self.head = ProjectionLayer(make, dim, last=True)
        self.classifier = Classifier(classes)

    def call(
        self,
        images: tf.Tensor,
        training: bool = False,
        stop_classifier_gradient: bool = False,
    ) -> NetworkOutputs:
        def convolve(images: tf.Tensor) -> tf.Tensor:
            return self.conv(images, training=training)

        images = tf.cast(images, self.conv.compute_dtype)
        again = self.recompute and training
        maps = recomputed(convolve, images) if again else convolve(images)
        features = tf.reduce_mean(tf.cast(maps, tf.float32), [1, 2])
        projection = tf.cast(self.head(features, training=training), tf.float32)
        if stop_classifier_gradient:
            features = tf.stop_gradient(features)
        return NetworkOutputs(
            features, [features, projection], self.classifier(features), {}
        )


def tiny_network(seed: int = 0, classes: int = 3, **options) -> TinyNetwork:
    """A network with variables; `options` are those of `LayerFactory`."""
    keras.utils.set_random_seed(seed)
    network = TinyNetwork(LayerFactory(**options), classes)
    network(tf.zeros([1, 8, 8, 3]))
    return network
