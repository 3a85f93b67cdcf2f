"""What is exported: a network and what is known about it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tf_simclr.models.network import SimCLRNetwork


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A network with all that its export tells about it.

    Attributes:
      network: with its weights; may live on several devices.
      record: as in a run's `config.json`: `stage`, `architecture`, `dataset`
        (`name`, `class_names`), `labels`, `config` (the flags) and, for
        weights that no run of this project made, `weights` (`kind`, `path`).
      step: training steps behind the weights.
      scores: its last evaluation, as in `result.json`; empty if unknown.
    """

    network: SimCLRNetwork
    record: Mapping[str, Any]
    step: int
    scores: Mapping[str, float]

    @property
    def image_size(self) -> int:
        """Side of the images that it was trained on."""
        return self.record["config"]["image_size"]

    @property
    def classifies(self) -> bool:
        """Whether it has learned classes.

        The online classifier of pretraining only shows its progress.
        """
        return bool(
            self.network.architecture.num_classes
            and self.record["stage"] != "pretrain"
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes it has learned; numbers where unnamed."""
        if not self.classifies:
            return ()
        return tuple(self.record["dataset"]["class_names"]) or tuple(
            map(str, range(self.network.architecture.num_classes))
        )
