"""Whether a small runtime names the classes that the network does."""

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
_TINY = 1e-12

# Outputs (n, d), by name.
Outputs = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """What was found.

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
        """What was found, in words."""
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
    """Compares an export's `preprocess.py` with what `serving_bytes` does.

    The one reads files by Pillow and resizes in the runtime, the other does
    both in TensorFlow.

    Args:
      functions: of the network, in TensorFlow.
      folder: of the export, with the script and the models.
      images: the first ones are taken.

    Returns:
      None if no image can be read.
    """
    script = runpy.run_path(os.path.join(folder, SCRIPT_FILE))

    def pairs() -> Iterator[tuple[Outputs, Outputs]]:
        for index in range(min(IMAGES, len(images))):
            try:
                pixels, expected = _read(script, functions, images, index)
            except (Unreadable, OSError, tf.errors.OpError):
                continue
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


def _read(
    script: Mapping[str, Any],
    functions: ExportFunctions,
    images: ImageSet,
    index: int,
) -> tuple[np.ndarray, Outputs]:
    """Pixels (1, H, W, 3) as the script reads them, and the network's
    outputs."""
    if isinstance(images.pixels, ArrayPixels):
        pixels = images.pixels.array[index : index + 1]
        return pixels, functions.vectors(tf.constant(pixels))
    data = images.pixels.stored(tf.constant(index)).numpy()
    pixels = script["read_image"](io.BytesIO(data))
    views, valid = functions.decode(tf.constant([plain_bytes(data)]))
    if not valid.numpy()[0]:
        raise Unreadable("cannot be decoded")
    return pixels, functions.outputs(views)
