"""Comparison of an export with its network before it gets its name."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_simclr.errors import ExportFailed
from tf_simclr.progress import say
from tf_simclr.weights.export import clean_load
from tf_simclr.weights.export.hub_module import HubModule

# Largest difference from the network's own outputs, relative to the largest
# value of each.
TOLERANCE = 1e-4
# Shares of images: one more or less may be nearer.
_RANKS = 0.05
# Seconds that loading may take; the largest published network needs minutes.
_PATIENCE = 1800


def verify_saved_model(
    path: str,
    module: HubModule,
    image_size: int,
    *,
    new_process: bool,
    python: str = sys.executable,
) -> None:
    """Loads a SavedModel and compares all its functions with the network.

    Args:
      path: the SavedModel.
      module: what was saved.
      image_size: side of the network's images.
      new_process: whether to load it in a process of its own which does not
        have this package. Where none can start, in this one.
      python: what that process runs.

    Raises:
      ExportFailed: it cannot be loaded, or computes something else.
    """
    probe = _probe(image_size)
    if new_process:
        found = _load_elsewhere(path, probe, python)
    else:
        found = _load_here(path, probe)
    compare(_expected(module, probe), found, path)


def compare(
    expected: Mapping[str, np.ndarray],
    found: Mapping[str, np.ndarray],
    path: str,
    tolerance: float = TOLERANCE,
) -> None:
    """Refuses outputs that are missing or differ in shape or value.

    Raises:
      ExportFailed: names the output and the difference.
    """
    if set(expected) != set(found):
        missing = sorted(set(expected) ^ set(found))
        raise ExportFailed(f"{path}: outputs differ: {', '.join(missing)}")
    for name, value in expected.items():
        other = found[name]
        if value.dtype.kind == "b":
            value, other = value.astype(np.int8), other.astype(np.int8)
        if value.dtype.kind == "S":
            same = value.shape == other.shape and np.all(value == other)
            difference = "other names"
        else:
            scale = max(1.0, float(np.abs(value).max(initial=0.0)))
            error = float(np.abs(value - other).max(initial=0.0))
            allowed = _RANKS if name.endswith("/novelty") else tolerance
            same = value.shape == other.shape and error <= allowed * scale
            difference = f"a difference of {error:.2g}"
        if not same:
            raise ExportFailed(
                f"{path} does not compute what the network does: {name} has"
                f" {difference}."
            )


def _probe(size: int) -> dict[str, np.ndarray]:
    """Images of the network's size and of another, as floats and as bytes."""
    rng = np.random.default_rng(0)
    large = rng.integers(0, 256, (1, size + 3, size + 6, 3), np.uint8)
    encoded = tf.io.encode_png(large[0]).numpy()
    return {
        "images": rng.random((2, size, size, 3), np.float32),
        "large": (large / 255.0).astype(np.float32),
        "encoded": np.frombuffer(encoded, np.uint8),
    }


def _expected(
    module: HubModule, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The network's own outputs, on the CPU as in the other process."""
    functions = module.functions
    with tf.device("/CPU:0"):
        found = {
            "call": functions.outputs(tf.constant(probe["images"])),
            "serving_default": functions.vectors(tf.constant(probe["large"])),
            "serving_bytes": functions.classify(
                tf.constant([probe["encoded"].tobytes()])
            ),
        }
    return {
        f"{function}/{name}": clean_load.as_array(value)
        for function, outputs in found.items()
        for name, value in outputs.items()
    }


def _load_here(
    path: str, probe: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    with tf.device("/CPU:0"):
        return clean_load.outputs_of(tf.saved_model.load(path), probe)


def _load_elsewhere(
    path: str,
    probe: Mapping[str, np.ndarray],
    python: str,
) -> dict[str, np.ndarray]:
    """As `_load_here`, in a process without this package; if none can start,
    in this one."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")
    }
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        probe_file = os.path.join(folder, "probe.npz")
        found_file = os.path.join(folder, "found.npz")
        np.savez(probe_file, **probe)
        arguments = [os.path.abspath(path), probe_file, found_file]
        paths = os.pathsep.join(_paths_without_package())
        try:
            process = subprocess.run(
                [python, "-I", clean_load.__file__, *arguments, paths],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportFailed(
                f"{path} is not loaded after {_PATIENCE} seconds."
            ) from error
        except OSError as error:
            return _instead(path, probe, str(error))
        lines = process.stderr.strip().splitlines() or ["no message"]
        if clean_load.STARTED not in process.stdout.split():
            return _instead(path, probe, lines[-1])
        if process.returncode:
            raise ExportFailed(f"{path} cannot be loaded: {lines[-1]}")
        with np.load(found_file) as found:
            return dict(found)


def _paths_without_package() -> list[str]:
    """Folders that this process imports from, without those of this package."""
    return [
        path
        for path in map(os.path.abspath, filter(os.path.exists, sys.path))
        if not os.path.exists(os.path.join(path, "tf_simclr", "process.py"))
        or os.path.exists(os.path.join(path, "tensorflow"))
    ]


def _instead(
    path: str, probe: Mapping[str, np.ndarray], why: str
) -> dict[str, np.ndarray]:
    say(
        "notice     the export is checked in this process, since no other one"
        f" can import TensorFlow: {why}"
    )
    return _load_here(path, probe)
