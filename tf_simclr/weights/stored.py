"""Weights on disk: what they belong to, and how to read them."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tf_simclr.data.class_mapping import KnownClasses
from tf_simclr.models.network import Architecture


@dataclasses.dataclass(frozen=True)
class StoredWeights:
    """The weights of a network, not yet read.

    Attributes:
      path: where they lie.
      kind: what wrote them, for the log.
      architecture: the network that they belong to.
      shapes: {stored key: shape} of everything that is a weight.
      keys: (our names, architecture) -> {our name: stored key}; names as in
        `named_variables` and in its order.
      read: returns one tensor by its stored key.
      step: training steps behind them; 0 where unknown.
      stage: pretrain, finetune or distill; '' where unknown.
      image_size: side of the images that they were trained on, if known.
      class_names: names of the classifier's classes, if known.
      config: the flags of the run that made them, if known.
      record: the whole `config.json` of that run, if known.
      scores: its `result.json`, if it is of the same step.
    """

    path: str
    kind: str
    architecture: Architecture
    shapes: dict[str, tuple[int, ...]]
    keys: Callable[[list[str], Architecture], dict[str, str]]
    read: Callable[[str], np.ndarray]
    step: int = 0
    stage: str = ""
    image_size: int | None = None
    class_names: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def classes(self) -> KnownClasses:
        """The classes that the classifier has learned."""
        count = self.architecture.num_classes
        return KnownClasses(self.class_names, count, self.path)

    def fingerprint(self) -> str:
        """Changes with any of the stored numbers, whatever the path.

        A checkpoint's index holds the checksum of each of its tensors.
        """
        with open(self.path + ".index", "rb") as file:
            return f"step {self.step}, {zlib.crc32(file.read()):08x}"
