"""A network for phones and small devices."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.files import write_text
from tf_simclr.weights.export.exportable import Exportable
from tf_simclr.weights.export.folder import ExportFolder
from tf_simclr.weights.export.model_card import CARD_FILE, model_card
from tf_simclr.weights.export.saved_model import LABELS_FILE, write_labels
from tf_simclr.weights.export.vectors import probe_images, vector_function
from tf_simclr.weights.export.verify import TOLERANCE, compare

MODEL_FILE = "model.tflite"
_SIGNATURE = "serving_default"
# Half precision keeps three digits, and layers add up their errors.
_FLOAT16_TOLERANCE = 0.05

# Evaluation views, each float32 (1, S, S, 3).
Images = Sequence[np.ndarray]


def export_tflite(
    source: Exportable,
    folder: str,
    quantize: str,
    representative: Images | None = None,
    *,
    keep: int = 1,
) -> str:
    """Writes `folder/STEP/model.tflite` with class names and card.

    Its signature maps float32 `images` (N, S, S, 3) in [0, 1], which have
    the size of the network's own, to `features`, `projection` and, with a
    classifier, `logits` and `probabilities`, all float32.

    Args:
      source: the network and what is known about it.
      folder: where exports of this kind lie.
      quantize: `none`, `float16` (weights) or `int8` (all arithmetic).
      representative: images that the ranges of int8 numbers are taken from.
      keep: how many exports stay in the folder.

    Returns:
      The path of `folder/STEP`.

    Raises:
      UserError: the folder is in use.
      ExportFailed: the model computes something else than the network. An
        int8 model is not compared number by number: its purpose is to differ.
    """
    exports = ExportFolder(folder, source.record, keep)
    exports.check()
    module, function = vector_function(source)
    with tempfile.TemporaryDirectory() as temporary:
        tf.saved_model.save(
            module.trackable, temporary, signatures={_SIGNATURE: function}
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            temporary, signature_keys=[_SIGNATURE]
        )
        if quantize == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        elif quantize == "int8":

            def samples() -> Iterator[dict[str, np.ndarray]]:
                for images in representative or ():
                    yield {"images": images}

            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            ]
        with _quiet():
            model = converter.convert()
    with exports.writing(source.step, source.scores) as partial:
        path = os.path.join(partial, MODEL_FILE)
        with open(path, "wb") as file:
            file.write(model)
        if source.class_names:
            write_labels(os.path.join(partial, LABELS_FILE), source)
        write_text(
            os.path.join(partial, CARD_FILE), model_card(source, "tflite")
        )
        images = probe_images(source)
        expected = {
            name: value.numpy()
            for name, value in function(tf.constant(images)).items()
        }
        found = run_tflite(path, images)
        tolerance = {"none": TOLERANCE, "float16": _FLOAT16_TOLERANCE}
        compare(expected, found, path, tolerance.get(quantize, np.inf))
    return os.path.join(folder, str(source.step))


def run_tflite(path: str, images: np.ndarray) -> Mapping[str, Any]:
    """The outputs of a TFLite model, by name."""
    with _quiet():
        interpreter = tf.lite.Interpreter(model_path=path)
    return interpreter.get_signature_runner(_SIGNATURE)(images=images)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notice that the interpreter is moving to a package of its
    own, which is not needed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
