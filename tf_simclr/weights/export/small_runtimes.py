"""A network for ONNX runtimes, for phones and small devices.

vectors, without training.
"""

import contextlib
import importlib.util
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.errors import UserError
from tf_simclr.files import write_text
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.hub_module import HubModule, make_hub_module
from tf_simclr.weights.export.model_card import CARD_FILE, model_card
from tf_simclr.weights.export.saved_model import LABELS_FILE, write_labels
from tf_simclr.weights.export.verify import TOLERANCE, compare

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
    """Random images (n, S, S, 3) to compare runtimes on."""
    size = source.image_size
    return np.random.default_rng(0).random((3, size, size, 3), np.float32)


ONNX_FILE = "model.onnx"
_PACKAGES = ("tf2onnx", "onnxruntime")
# Of ONNX's operations; runtimes since 2022 know it.
_OPSET = 17


def check_onnx() -> None:
    """Refuses an ONNX export where the packages that it needs are missing.

    Raises:
      UserError: the converter is not installed.
    """
    missing = [p for p in _PACKAGES if importlib.util.find_spec(p) is None]
    if missing:
        raise UserError(
            "--export_format=onnx needs packages that are not installed: pip"
            f" install {' '.join(missing)}"
        )


def export_onnx(source: Exportable, folder: str, *, keep: int = 1) -> str:
    """Writes `folder/STEP/model.onnx` with class names and card.

    It maps float32 `images` (N, S, S, 3) in [0, 1], which have the size of
    the network's own, to `features`, `projection` and, with a classifier,
    `logits` and `probabilities`.

    Args:
      source: the network and what is known about it.
      folder: where exports of this kind lie.
      keep: how many exports stay in the folder.

    Returns:
      The path of `folder/STEP`.

    Raises:
      UserError: the folder is in use, or a package is missing.
      ExportFailed: the model computes something else than the network.
    """
    check_onnx()
    import onnxruntime
    import tf2onnx

    exports = ExportFolder(folder, source.record, keep)
    exports.check()
    _, function = vector_function(source)
    with exports.writing(source.step, source.scores) as partial:
        path = os.path.join(partial, ONNX_FILE)
        tf2onnx.convert.from_function(
            function,
            input_signature=function.input_signature,
            opset=_OPSET,
            output_path=path,
        )
        if source.class_names:
            write_labels(os.path.join(partial, LABELS_FILE), source)
        write_text(os.path.join(partial, CARD_FILE), model_card(source, "onnx"))
        images = probe_images(source)
        session = onnxruntime.InferenceSession(
            path, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        found = session.run(names, {"images": images})
        expected = {
            name: value.numpy()
            for name, value in function(tf.constant(images)).items()
        }
        compare(expected, dict(zip(names, found, strict=True)), path)
    return os.path.join(folder, str(source.step))


TFLITE_FILE = "model.tflite"
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
        path = os.path.join(partial, TFLITE_FILE)
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
    """The outputs (n, d) of a TFLite model, by name."""
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
