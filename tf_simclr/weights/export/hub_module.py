"""A network as the object that a SavedModel holds: TF Hub's interface."""

import dataclasses
from typing import Any

import tensorflow as tf

from tf_simclr.losses.weight_decay import l2_loss
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.momentum import copy_weights
from tf_simclr.models.naming import named_variables
from tf_simclr.models.network import SimCLRNetwork, build_network
from tf_simclr.weights.export.exportable import Exportable
from tf_simclr.weights.export.functions import ExportFunctions


@dataclasses.dataclass(frozen=True)
class HubModule:
    """What `tf.saved_model.save` takes.

    Attributes:
      trackable: the object to save.
      signatures: `serving_default` and `serving_bytes`.
      functions: what both compute, in plain TensorFlow.
      network: the twin that they run.
    """

    trackable: Any
    signatures: dict[str, Any]
    functions: ExportFunctions
    network: SimCLRNetwork


def make_hub_module(source: Exportable) -> HubModule:
    """A twin of the network behind TF Hub's reusable SavedModel interface.

    The twin knows no devices, has plain batch norm and computes in float32.
    `module(images, training)` takes float images (N, H, W, 3) of any size as
    they are; gradients flow through it, and with training=True its batch-norm
    statistics move. `module.preprocess(images)` is the evaluation view of
    uint8 or float images. `serving_default` takes images, `serving_bytes`
    encoded ones, and both make the evaluation view themselves.
    """
    config = source.record["config"]
    twin = build_network(
        source.network.architecture,
        source.image_size,
        LayerFactory(batch_norm_decay=config["batch_norm_decay"]),
    )
    copy_weights(source.network, twin)
    functions = ExportFunctions(twin, source.image_size, source.class_names)
    images = tf.TensorSpec([None, None, None, 3], tf.float32, "images")
    call = tf.function(functions.outputs, autograph=False)
    for training in (False, True):
        call.get_concrete_function(images, training=training)
    preprocess = tf.function(functions.preprocess, autograph=False)
    for dtype in (tf.float32, tf.uint8):
        preprocess.get_concrete_function(
            tf.TensorSpec(images.shape, dtype, "images")
        )
    trainable = list(twin.trainable_variables)
    kernels = [v for v in trainable if v.shape.rank > 1]
    decay = tf.function(
        lambda: l2_loss(kernels, config["weight_decay"]), input_signature=[]
    )
    # A Checkpoint is a plain object whose attributes are saved.
    trackable = tf.train.Checkpoint(network=_tree(twin))
    trackable.__call__ = call
    trackable.preprocess = preprocess
    trackable.variables = list(twin.variables)
    trackable.trainable_variables = trainable
    trackable.regularization_losses = [decay]
    trackable.step = tf.Variable(source.step, dtype=tf.int64, trainable=False)
    encoded = tf.TensorSpec([None], tf.string, "image_bytes")
    return HubModule(
        trackable,
        {
            "serving_default": tf.function(
                functions.vectors, input_signature=[images], autograph=False
            ),
            "serving_bytes": tf.function(
                functions.classify, input_signature=[encoded], autograph=False
            ),
        },
        functions,
        twin,
    )


def _tree(network: SimCLRNetwork) -> tf.Module:
    """The network's variables under the paths of `named_variables`.

    Saving these instead of the Keras layers spares the tracing of each
    layer's own functions, which nobody calls.
    """
    root = tf.Module()
    for name, variable in named_variables(network).items():
        *path, last = name.split("/")
        node = root
        for part in path:
            if not hasattr(node, part):
                setattr(node, part, tf.Module())
            node = getattr(node, part)
        setattr(node, last, variable)
    return root
