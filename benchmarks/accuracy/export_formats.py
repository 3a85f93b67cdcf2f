"""Accuracy and size of one network in every format that it is exported to.

    python benchmarks/accuracy/export_formats.py --run=runs/digits/distill

exports the run as SavedModel, TFLite (float32, float16, int8) and ONNX and
scores each on the run's evaluation split, image views made alike. The
difference is the largest of any probability from the SavedModel's.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

FORMATS = {
    "saved_model": {},
    "tflite": {"export_format": "tflite"},
    "tflite_float16": {"export_format": "tflite", "quantize": "float16"},
    "tflite_int8": {"export_format": "tflite", "quantize": "int8"},
    "onnx": {"export_format": "onnx"},
}
_BATCH = 64

# Views (n, S, S, 3) -> probabilities (n, classes).
Classify = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Row:
    """Findings about a format.

    Attributes:
      name: of the format.
      bytes: of its files.
      accuracy: share of right answers.
      difference: the largest difference of a probability.
    """

    name: str
    bytes: int
    accuracy: float
    difference: float


def compare_formats(run: str, output: str) -> list[Row]:
    """Exports a run in every format to `output`, and scores each."""
    from tf_simclr.config.flat import from_flat
    from tf_simclr.modes.export import export

    views, labels = _evaluation_images(run)
    rows: list[Row] = []
    reference = None
    for name, flags in FORMATS.items():
        values = {"mode": "export", "checkpoint": run, "model_dir": output}
        config = from_flat({**values, "verify_export": False, **flags})
        path = export(config)
        classify = _LOADERS[name.partition("_")[0]](path)
        found = np.concatenate(
            [
                classify(views[start : start + _BATCH])
                for start in range(0, len(views), _BATCH)
            ]
        )
        if reference is None:
            reference = found
        rows.append(
            Row(
                name,
                _size(path),
                float(np.mean(found.argmax(axis=1) == labels)),
                float(np.abs(found - reference).max()),
            )
        )
    return rows


def _evaluation_images(run: str) -> tuple[np.ndarray, np.ndarray]:
    """The views and labels of a run's evaluation split."""
    from tf_simclr.config.flat import from_flat
    from tf_simclr.data.batches import evaluation_batches
    from tf_simclr.data.sources.open import open_dataset
    from tf_simclr.training.run_record import read_record

    data = from_flat(read_record(run).config).data
    images = open_dataset(data, [run]).evaluation
    batches = evaluation_batches(images, _BATCH, data.image_size)
    views = [batch["image"].numpy() for batch in batches]
    return np.concatenate(views), images.labels


def _load_saved_model(path: str) -> Classify:
    import tensorflow as tf

    module = tf.saved_model.load(path)
    return lambda views: module(tf.constant(views), training=False)[
        "probabilities"
    ].numpy()


def _load_tflite(path: str) -> Classify:
    from tf_simclr.weights.export.tflite_export import TFLITE_FILE, tflite_model

    model = tflite_model(os.path.join(path, TFLITE_FILE))
    return lambda views: model(views)["probabilities"]


def _load_onnx(path: str) -> Classify:
    import onnxruntime

    from tf_simclr.weights.export.onnx_export import ONNX_FILE

    session = onnxruntime.InferenceSession(
        os.path.join(path, ONNX_FILE), providers=["CPUExecutionProvider"]
    )
    return lambda views: session.run(["probabilities"], {"images": views})[0]


_LOADERS = {
    "saved": _load_saved_model,
    "tflite": _load_tflite,
    "onnx": _load_onnx,
}


def _size(path: str) -> int:
    """The bytes of all files below a folder."""
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )


def table(rows: list[Row]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| format | kB | accuracy | largest difference of a probability |"
    yield "|---|---:|---:|---:|"
    for row in rows:
        yield (
            f"| {row.name} | {row.bytes / 1000:.0f} | {row.accuracy:.4f} |"
            f" {row.difference:.1e} |"
        )


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as output:
        rows = compare_formats(arguments.run, output)
    print("\n" + "\n".join(table(rows)))


if __name__ == "__main__":
    main()
