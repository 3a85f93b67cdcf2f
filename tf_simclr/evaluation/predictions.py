"""What a classifier answers."""

import dataclasses
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A classifier's answers to a split.

    Attributes:
      labels: int (N,), -1 where unknown.
      logits: float (N, C).
      class_names: C names.
      ids: N names of images.
      total: images of the split, where not all of them were scored.
    """

    labels: np.ndarray
    logits: np.ndarray
    class_names: tuple[str, ...]
    ids: tuple[str, ...]
    total: int | None = None


def names_of(class_names: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """One name per class of a classifier: its number where none is known."""
    return tuple(class_names) or tuple(map(str, range(num_classes)))
