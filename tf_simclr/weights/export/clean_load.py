"""Loads a SavedModel and runs it on stored images, without this package.

    python -I clean_load.py SAVED_MODEL PROBE.npz FOUND.npz PATHS

imports TensorFlow, from PATHS if need be, prints STARTED and writes what the
SavedModel computes from `images`, `large` and `encoded` of PROBE.npz. It
imports nothing but TensorFlow and NumPy, so that it sees what a user sees who
has only the export.
"""

import os
import sys

STARTED = "started"

if __name__ == "__main__":
    # Of PYTHONPATH, a user's own packages or a cluster's modules, which -I
    # leaves out.
    sys.path += [p for p in sys.argv.pop().split(os.pathsep) if p]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def outputs_of(module, probe) -> dict[str, np.ndarray]:
    """Outputs of a loaded SavedModel, as FUNCTION/OUTPUT.

    Args:
      module: from `tf.saved_model.load`.
      probe: `images` (N, S, S, 3), `large` (N, H, W, 3), both float32, and
        `encoded`, the bytes of a PNG file as a uint8 array.
    """
    serve = module.signatures
    encoded = tf.constant([probe["encoded"].tobytes()])
    found = {
        "call": module(tf.constant(probe["images"]), training=False),
        "serving_default": serve["serving_default"](
            images=tf.constant(probe["large"])
        ),
        "serving_bytes": serve["serving_bytes"](image_bytes=encoded),
    }
    return {
        f"{function}/{name}": as_array(value)
        for function, outputs in found.items()
        for name, value in outputs.items()
    }


def as_array(value: tf.Tensor) -> np.ndarray:
    """A tensor as an array of its shape that .npz holds; strings as UTF-8
    bytes."""
    array = value.numpy()
    return array.astype("S") if array.dtype == object else array


def main() -> None:
    """Loads, runs, writes."""
    print(STARTED, flush=True)
    export, probe_file, found_file = sys.argv[1:]
    module = tf.saved_model.load(export)
    with np.load(probe_file) as probe:
        np.savez(found_file, **outputs_of(module, probe))


if __name__ == "__main__":
    main()
