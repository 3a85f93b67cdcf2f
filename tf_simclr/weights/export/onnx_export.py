"""A network for ONNX runtimes."""

import importlib.util
import os
from typing import Any

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.errors import UserError
from tf_simclr.weights.export.folder import Exportable, ExportFolder
from tf_simclr.weights.export.small_runtimes import (
    Model,
    check_size,
    compare_vectors,
    compare_views,
    describe,
    vector_function,
    view_function,
)

ONNX_FILE, ONNX_PREPROCESS_FILE = "model.onnx", "preprocess.onnx"
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


def export_onnx(
    source: Exportable,
    folder: str,
    images: ImageSet | None = None,
    *,
    keep: int = 1,
) -> str:
    """Writes `folder/STEP` with `model.onnx`, `preprocess.onnx`,
    `preprocess.py`, class names and card.

    The model maps float32 `images` (N, S, S, 3) in [0, 1], which have the size
    of the network's own, to `features`, `projection` and, with a classifier,
    `logits` and `probabilities`. The other one makes them from uint8 `pixels`
    (N, H, W, 3) of any size, as evaluation does.

    Args:
      source: the network and what is known about it.
      folder: where exports of this kind lie.
      images: on which both are compared with the network; None: on none.
      keep: how many exports stay in the folder.

    Returns:
      The path of `folder/STEP`.

    Raises:
      UserError: the folder is in use, a package is missing, or the network is
        too large.
      ExportFailed: the model computes something else than the network.
    """
    check_onnx()
    check_size(source, "onnx")
    exports = ExportFolder(folder, source.record, keep)
    exports.check()
    module, function = vector_function(source)
    with exports.writing(source.step, source.scores) as partial:
        view = view_function(source)
        for name, made in (
            (ONNX_FILE, function),
            (ONNX_PREPROCESS_FILE, view),
        ):
            _write_onnx(made, os.path.join(partial, name))
        compare_vectors(source, partial, function, _onnx_model, ONNX_FILE)
        compare_views(source, partial, _onnx_model, ONNX_PREPROCESS_FILE)
        describe(source, partial, "onnx", module, images, [])
    return os.path.join(folder, str(source.step))


def _write_onnx(function: Any, path: str) -> None:
    import tf2onnx

    tf2onnx.convert.from_function(
        function,
        input_signature=function.input_signature,
        opset=_OPSET,
        output_path=path,
    )


def _onnx_model(path: str) -> Model:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        path, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    (argument,) = session.get_inputs()
    return lambda images: dict(
        zip(names, session.run(names, {argument.name: images}), strict=True)
    )
