"""A network as the object that a SavedModel holds: TF Hub's interface."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing
from tf_simclr.data.augment.policy import evaluation_image, evaluation_view
from tf_simclr.data.decode import decode_for_view
from tf_simclr.data.decoding import AS_ORIGINAL, Decoding
from tf_simclr.evaluation.novelty import Novelty
from tf_simclr.losses.classification import l2_loss
from tf_simclr.models.layers import LayerFactory
from tf_simclr.models.momentum import copy_weights, named_variables
from tf_simclr.models.network import SimCLRNetwork, build_network
from tf_simclr.weights.export.folder import Exportable

# How many of the likeliest classes are named.
_NAMED = 5
# Files of a batch that are decoded at a time.
_AT_ONCE = 8


class ExportFunctions:
    """The functions of an export, in plain TensorFlow.

    Args:
      network: on no particular device, in float32.
      image_size: S, the side of the images that it was trained on.
      class_names: of its classifier; empty if it has learned no classes.
      how: image files are decoded.
      framing: what is seen of images, and how they are shrunk.
      temperature: divides the logits of calibrated probabilities; None: there
        are none.
      novelty: what that of images is measured by; None: it is not.
    """

    def __init__(
        self,
        network: SimCLRNetwork,
        image_size: int,
        class_names: Sequence[str],
        how: Decoding = AS_ORIGINAL,
        framing: Framing = ORIGINAL_FRAMING,
        temperature: float | None = None,
        novelty: Novelty | None = None,
    ):
        self._novelty = novelty
        self._temperature = temperature
        self._network = network
        self._image_size = image_size
        self._class_names = tuple(class_names)
        self._how = how
        self._framing = framing

    def outputs(
        self, images: tf.Tensor, training: bool = False
    ) -> dict[str, tf.Tensor]:
        """Runs the network on images as they are.

        Args:
          images: float32 (N, H, W, 3) in [0, 1].
          training: whether batch norm uses and updates batch statistics.

        Returns:
          The network's outputs by the original's names, and under plain
          ones `features`, `projection` (where it has layers of the projection
          head) and, with a classifier, `logits` and `probabilities`.
        """
        outputs = self._network(images, training=training)
        named = {"features": outputs.features}
        if self._network.architecture.kept_head_layers:
            named["projection"] = outputs.projection
        if outputs.logits is not None:
            named["logits"] = outputs.logits
            named["probabilities"] = tf.nn.softmax(outputs.logits)
        return {**outputs.by_name(), **named}

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """The evaluation view of images whose size shows only at run time.

        Args:
          images: (N, H, W, 3), uint8 or float32 in [0, 1].

        Returns:
          float32 (N, S, S, 3) in [0, 1].
        """
        size = self._image_size
        fits = tf.reduce_all(tf.equal(tf.shape(images)[1:3], size))
        views = tf.cond(
            fits,
            # The view of an image that is known to have the right size.
            lambda: evaluation_view(
                tf.reshape(images, [-1, size, size, 3]), size
            ),
            lambda: evaluation_view(images, size, self._framing),
        )
        return tf.ensure_shape(views, [None, size, size, 3])

    def decode(self, image_bytes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The evaluation views of encoded images (N,) of any sizes.

        Returns:
          float32 (N, S, S, 3), and bool (N,): False where there is no image,
          whose view is black.
        """
        size = self._image_size

        def view(
            place: tf.Tensor, encoded: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            # What evaluation on image files does.
            image = decode_for_view(encoded, self._how, self._framing, size)
            return place, evaluation_image(image, size, self._framing)

        count = tf.shape(image_bytes, out_type=tf.int64)[0]
        files = tf.data.Dataset.from_tensor_slices(image_bytes).enumerate()
        # The graph has no other way to go on after an error than this one.
        views = files.map(view, num_parallel_calls=_AT_ONCE)
        views = views.ignore_errors()
        # At least one, as a batch must have.
        first = (tf.constant(-1, tf.int64), tf.zeros([size, size, 3]))
        found = tf.data.Dataset.from_tensors(first).concatenate(views)
        options = tf.data.Options()
        # A thread that looks for a better number would outlive the batch.
        options.autotune.enabled = False
        found = found.batch(count + 1).with_options(options)
        places, views = found.get_single_element()
        places, views = places[1:, tf.newaxis], views[1:]
        valid = tf.scatter_nd(places, tf.ones_like(places[:, 0]), [count])
        shape = tf.stack([count, size, size, 3])
        views = tf.scatter_nd(places, views, shape)
        return tf.ensure_shape(views, [None, size, size, 3]), valid > 0

    def vectors(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """`outputs` (n, d) of images (n, H, W, 3) of any size, without the
        feature maps."""
        outputs = self._of_views(self.preprocess(images))
        return {k: v for k, v in outputs.items() if v.shape.rank == 2}

    def _of_views(self, views: tf.Tensor) -> dict[str, tf.Tensor]:
        """`outputs` of views (n, S, S, 3), of which there may be none.

        oneDNN gives a strided convolution of no image the shape of its input,
        and what follows fails (TensorFlow 2.21, CPUs with AVX-512).
        """
        size, count = self._image_size, tf.shape(views)[0]
        some = tf.cond(
            count > 0, lambda: views, lambda: tf.zeros([1, size, size, 3])
        )
        some = tf.ensure_shape(some, [None, size, size, 3])
        outputs = self.outputs(some)
        return {name: value[:count] for name, value in outputs.items()}

    def classify(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Names the classes of encoded images.

        Args:
          image_bytes: (N,) strings, each a JPEG, PNG, GIF, BMP or WebP file.

        Returns:
          `valid` (N,), False for what is no image and has zeros and empty
          names in all else; `features`, `projection` (where the network has
          layers of the projection head) and, if it has
          learned classes, `logits`, `probabilities`, the likeliest `class` and
          its `probability` (N,), and the few likeliest: `top_classes` and
          `top_probabilities` (N, k). `calibrated_probabilities` (N, C) where
          an evaluation has fitted a temperature (Guo et al., arXiv
          1706.04599). `distance` and `novelty` (N,) where the run has left
          what they are measured by (see `Novelty`).
        """
        views, valid = self.decode(image_bytes)
        outputs = self._named(self._of_views(views))
        return {
            "valid": valid,
            **{name: _only(valid, value) for name, value in outputs.items()},
        }

    def _named(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Outputs of a network with one value or name per image."""
        found = {
            name: outputs[name]
            for name in ("features", "projection")
            if name in outputs
        }
        if not self._class_names:
            return found
        best, indices = tf.math.top_k(
            outputs["probabilities"], min(_NAMED, len(self._class_names))
        )
        names = tf.gather(tf.constant(self._class_names), indices)
        if self._temperature is not None:
            found["calibrated_probabilities"] = tf.nn.softmax(
                outputs["logits"] / self._temperature
            )
        if self._novelty is not None:
            distances = self._novelty.distances(outputs["features"])
            found["distance"] = distances
            found["novelty"] = self._novelty.ranks(distances)
        return {
            **found,
            "logits": outputs["logits"],
            "probabilities": outputs["probabilities"],
            "class": names[:, 0],
            "probability": best[:, 0],
            "top_classes": names,
            "top_probabilities": best,
        }


def _only(valid: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Rows of `value` (N, ...) where `valid` (N,) says so, else zeros."""
    rows = tf.reshape(valid, [-1] + [1] * (value.shape.rank - 1))
    return tf.where(rows, value, tf.zeros_like(value))


@dataclasses.dataclass(frozen=True)
class HubModule:
    """The object that `tf.saved_model.save` takes.

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
    config = source.record.config
    twin = build_network(
        source.network.architecture,
        source.image_size,
        LayerFactory(batch_norm_decay=config["batch_norm_decay"]),
    )
    copy_weights(source.network, twin)
    functions = ExportFunctions(
        twin,
        source.image_size,
        source.class_names,
        source.decoding,
        source.framing,
        source.temperature,
        source.novelty,
    )
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
