"""A network for TFLite: phones and small devices."""

import contextlib
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.weights.export.agreement import agreement
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.small_runtimes import (
    Images,
    Model,
    check_size,
    compare_vectors,
    compare_views,
    describe,
    said,
    vector_function,
    view_function,
)
from tf_simclr.weights.export.verify import TOLERANCE

TFLITE_FILE = "model.tflite"
TFLITE_PREPROCESS_FILE = "preprocess.tflite"
_SIGNATURE, _PREPROCESS = "serving_default", "preprocess"
# Half precision keeps three digits, and layers add up their errors.
_FLOAT16_TOLERANCE = 0.05


def export_tflite(
    source: Exportable,
    folder: str,
    quantize: str,
    representative: Images = (),
    images: ImageSet | None = None,
    *,
    keep: int = 1,
) -> str:
    """Writes `folder/STEP` with `model.tflite`, `preprocess.tflite`,
    `preprocess.py`, class names and card.

    The model's signature `serving_default` maps float32 `images` (N, S, S, 3)
    in [0, 1], which have the size of the network's own, to `features`,
    `projection` and, with a classifier, `logits` and `probabilities`, all
    float32. `preprocess` of the other one makes them from uint8 `pixels`
    (N, H, W, 3) of any size, as evaluation does.

    Args:
      source: the network and what is known about it.
      folder: where exports of this kind lie.
      quantize: `none`, `float16` (weights) or `int8` (all arithmetic; weights
        have a scale for each channel).
      representative: training images that the ranges of int8 numbers are taken
        from, and on which a quantised model is compared with the network.
      images: on which both models are; None: on none.
      keep: how many exports stay in the folder.

    Returns:
      The path of `folder/STEP`.

    Raises:
      UserError: the folder is in use, or the network is too large.
      ExportFailed: the model computes something else than the network. An
        int8 model is not compared number by number: its purpose is to differ.
    """
    check_size(source, "tflite")
    exports = ExportFolder(folder, source.record, keep)
    exports.check()
    module, function = vector_function(source)
    with exports.writing(source.step, source.scores) as partial:
        path = os.path.join(partial, TFLITE_FILE)
        _write_tflite(
            module.trackable,
            {_SIGNATURE: function},
            path,
            quantize,
            representative,
        )
        _write_tflite(
            tf.train.Checkpoint(),
            {_PREPROCESS: view_function(source)},
            os.path.join(partial, TFLITE_PREPROCESS_FILE),
        )
        tolerance = {"none": TOLERANCE, "float16": _FLOAT16_TOLERANCE}
        compare_vectors(
            source,
            partial,
            function,
            tflite_model,
            TFLITE_FILE,
            tolerance.get(quantize, np.inf),
        )
        compare_views(source, partial, tflite_model, TFLITE_PREPROCESS_FILE)
        lines = []
        if quantize != "none" and representative:
            model = tflite_model(path)
            found = agreement((function(v), model(v)) for v in representative)
            lines.append(said(f"{quantize} and float32", found))
        describe(source, partial, "tflite", module, images, lines)
    return os.path.join(folder, str(source.step))


def _write_tflite(
    trackable: Any,
    signatures: dict[str, Any],
    path: str,
    quantize: str = "none",
    representative: Images = (),
) -> None:
    """Converts the one function of `signatures`."""
    with tempfile.TemporaryDirectory() as temporary:
        tf.saved_model.save(trackable, temporary, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            temporary, signature_keys=list(signatures)
        )
        if quantize == "float16":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        elif quantize == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                {"images": images} for images in representative
            )
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS_INT8
            ]
        with _quiet():
            model = converter.convert()
    with open(path, "wb") as file:
        file.write(model)


def tflite_model(path: str) -> Model:
    """The one signature of a TFLite model: array -> outputs, by name."""
    with _quiet():
        interpreter = tf.lite.Interpreter(model_path=path)
    ((signature, parts),) = interpreter.get_signature_list().items()
    run = interpreter.get_signature_runner(signature)
    (argument,) = parts["inputs"]
    return lambda images: run(**{argument: images})


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the notice that the interpreter is moving to a package of its
    own, which is not needed here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
