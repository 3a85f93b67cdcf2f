"""A network for ONNX runtimes."""

import importlib.util
import os

import tensorflow as tf

from tf_simclr.errors import UserError
from tf_simclr.files import write_text
from tf_simclr.weights.export.exportable import Exportable
from tf_simclr.weights.export.folder import ExportFolder
from tf_simclr.weights.export.model_card import CARD_FILE, model_card
from tf_simclr.weights.export.saved_model import LABELS_FILE, write_labels
from tf_simclr.weights.export.vectors import probe_images, vector_function
from tf_simclr.weights.export.verify import compare

MODEL_FILE = "model.onnx"
_PACKAGES = ("tf2onnx", "onnxruntime")
# Of ONNX's operations; runtimes since 2022 know it.
_OPSET = 17


def check_onnx() -> None:
    """Refuses an ONNX export where the packages that it needs are missing."""
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
        path = os.path.join(partial, MODEL_FILE)
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
