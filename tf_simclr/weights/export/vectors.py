"""The part of a network that small runtimes get: images of one size to
vectors, without training."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.weights.export.exportable import Exportable
from tf_simclr.weights.export.hub_module import HubModule, make_hub_module

OUTPUTS = ("features", "projection", "logits", "probabilities")


def vector_function(source: Exportable) -> tuple[HubModule, Any]:
    """The module, and a function from float32 `images` (N, S, S, 3) in
    [0, 1], made by the evaluation view, to those of `OUTPUTS` there are."""
    module = make_hub_module(source)
    size = source.image_size

    def vectors(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = module.functions.outputs(images)
        # Identities keep apart what is one tensor under two names.
        return {
            name: tf.identity(outputs[name])
            for name in OUTPUTS
            if name in outputs
        }

    spec = tf.TensorSpec([None, size, size, 3], tf.float32, "images")
    return module, tf.function(vectors, input_signature=[spec])


def probe_images(source: Exportable) -> np.ndarray:
    """Random images to compare runtimes on."""
    size = source.image_size
    return np.random.default_rng(0).random((3, size, size, 3), np.float32)
