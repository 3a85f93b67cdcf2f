"""Agreement of a small runtime with the network that it was made from."""

import dataclasses
import io
import os
import runpy
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.transcode import Unreadable, plain_bytes
from tf_simclr.weights.export.hub_module import ExportFunctions
from tf_simclr.weights.export.preprocess_script import SCRIPT_FILE

# Images that agreement is measured on, and the seconds after which the rest of
# them is left: the largest networks take seconds for each.
IMAGES, SECONDS = 300, 60.0
# A quantised model that agrees on less is not what was evaluated.
LEAST = 0.95
_NAMES = ("features", "probabilities")
_AT_ONCE = 16
_TINY = 1e-12

# Outputs (n, d), by name.
Outputs = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Result of a comparison of two models.

    Attributes:
      images: how many were compared.
      same: for a classifier the share with the same class, else the mean
        cosine similarity of the features.
      classifies: which of both it is.
      difference: for a classifier the largest one of a probability.
    """

    images: int
    same: float
    classifies: bool
    difference: float = 0.0

    @property
    def text(self) -> str:
        """The result in words."""
        if not self.classifies:
            return (
                f"{self.images} images: features of cosine similarity"
                f" {self.same:.4f} in the mean"
            )
        return (
            f"{self.images} images: the same class for {self.same:.1%},"
            f" probabilities at most {self.difference:.2g} apart"
        )


def agreement_on_files(
    functions: ExportFunctions, folder: str, images: ImageSet
) -> Agreement | None:
    """Compares an export's `preprocess.py` with the signature `serving_bytes`
    on files.

    The one reads files by Pillow and resizes in the runtime, the other does
    both in TensorFlow.

    Args:
      functions: of the network, in TensorFlow.
      folder: of the export, with the script and the models.
      images: some are taken, evenly from all.

    Returns:
      None if no image can be read.
    """
    script = runpy.run_path(os.path.join(folder, SCRIPT_FILE))
    chosen = images.evenly(IMAGES)
    read = _arrays if isinstance(images.pixels, ArrayPixels) else _files

    def pairs() -> Iterator[tuple[Outputs, Outputs]]:
        for pixels, expected in read(script, functions, chosen):
            yield expected, script["outputs"](script["preprocess"](pixels))

    return agreement(pairs())


def agreement(
    pairs: Iterable[tuple[Outputs, Outputs]], seconds: float = SECONDS
) -> Agreement | None:
    """Compares what two models have answered.

    Args:
      pairs: outputs (n, d) of both for the same images: `probabilities` or,
        without classes, `features`. Computed as they are asked for.
      seconds: after which the rest of them is left.

    Returns:
      None of no images.
    """
    start = time.monotonic()
    expected: list[np.ndarray] = []
    found: list[np.ndarray] = []
    classifies = False
    for one, other in pairs:
        classifies = "probabilities" in one
        name = "probabilities" if classifies else "features"
        expected.append(np.asarray(one[name]))
        found.append(np.asarray(other[name]))
        if time.monotonic() - start > seconds:
            break
    if not expected:
        return None
    a, b = np.concatenate(expected), np.concatenate(found)
    if classifies:
        same = float(np.mean(a.argmax(axis=1) == b.argmax(axis=1)))
        return Agreement(len(a), same, True, float(np.abs(a - b).max()))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    # Vectors of zeros have no direction.
    cosines = np.sum(a * b, axis=1) / np.maximum(lengths, _TINY)
    return Agreement(len(a), float(cosines.mean()), False)


def _arrays(
    script: Mapping[str, Any], functions: ExportFunctions, images: ImageSet
) -> Iterator[tuple[np.ndarray, Outputs]]:
    """Pixels (n, H, W, 3), and the network's outputs for them."""
    array = images.pixels.array
    spec = tf.TensorSpec([None, *array.shape[1:]], tf.uint8)
    vectors = tf.function(
        functions.vectors, input_signature=[spec], autograph=False
    )
    for start in range(0, len(array), _AT_ONCE):
        pixels = array[start : start + _AT_ONCE]
        yield pixels, vectors(tf.constant(pixels))


def _files(
    script: Mapping[str, Any], functions: ExportFunctions, images: ImageSet
) -> Iterator[tuple[np.ndarray, Outputs]]:
    """Pixels (1, H, W, 3) as the script reads them, and the network's outputs
    for the file; what either cannot read is left out."""

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string)], autograph=False
    )
    def serve(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        views, valid = functions.decode(encoded)
        outputs = functions.outputs(views)
        found = {name: outputs[name] for name in _NAMES if name in outputs}
        return {**found, "valid": valid}

    for start in range(0, len(images), _AT_ONCE):
        read: list[tuple[np.ndarray, bytes]] = []
        for index in range(start, min(start + _AT_ONCE, len(images))):
            try:
                data = images.pixels.stored(tf.constant(index)).numpy()
                pixels = script["read_image"](io.BytesIO(data))
                read.append((pixels, plain_bytes(data)))
            except (Unreadable, OSError, tf.errors.OpError):
                continue
        if not read:
            continue
        outputs = serve(tf.constant([data for _, data in read]))
        found = {name: value.numpy() for name, value in outputs.items()}
        for row in np.flatnonzero(found.pop("valid")):
            rows = {name: value[row : row + 1] for name, value in found.items()}
            yield read[row][0], rows
