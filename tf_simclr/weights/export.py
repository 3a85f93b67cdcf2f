"""Writing a network as a SavedModel that can be served and trained."""

import os
import shutil

import tensorflow as tf

from tf_simclr.models.momentum import copy_weights
from tf_simclr.models.network import SimCLRNetwork, build_network


def export_saved_model(
    network: SimCLRNetwork,
    image_size: int,
    folder: str,
    step: int,
    keep: int = 1,
) -> str:
    """Writes `folder/STEP`, a reusable SavedModel (TF Hub's interface).

    What is written is a twin of the network that knows no devices, with plain
    batch norm in float32. `module(images, training)` takes float images
    (N, H, W, 3) in [0, 1] and returns the network's outputs by the original's
    names; gradients flow through it, and with training=True its batch-norm
    statistics move.

    Args:
      network: what to write.
      image_size: side of the images that it was trained on.
      folder: usually `model_dir/saved_model`.
      step: training steps behind the weights.
      keep: how many exports of the highest steps stay in the folder.

    Returns:
      The SavedModel's path.
    """
    twin = build_network(network.architecture, image_size)
    copy_weights(network, twin)
    images = tf.TensorSpec([None, None, None, 3], tf.float32, "images")

    # A Checkpoint is a plain object whose attributes are saved.
    module = tf.train.Checkpoint(network=twin)

    @tf.function
    def call(images: tf.Tensor, training: bool = False) -> dict:
        return twin(images, training=training)

    for training in (False, True):
        call.get_concrete_function(images, training=training)
    module.__call__ = call
    module.variables = list(twin.variables)
    module.trainable_variables = list(twin.trainable_variables)
    module.regularization_losses = []
    serve = tf.function(
        lambda images: twin(images, training=False), input_signature=[images]
    )
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, str(step))
    temporary = os.path.join(folder, f".{step}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    tf.saved_model.save(
        module,
        temporary,
        signatures={"serving_default": serve},
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=True),
    )
    shutil.rmtree(path, ignore_errors=True)
    os.replace(temporary, path)
    steps = sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    for old in steps[:-keep]:
        shutil.rmtree(os.path.join(folder, str(old)))
    return path
