"""Evaluation images that are among the training images, too."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_simclr.data.same_image import same_images
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Counts of the evaluation images that a network has seen.

    Attributes:
      evaluated: labelled evaluation images.
      trained: how many of them are training images, too.
      labelled: how many of those had their label in training.
    """

    evaluated: int
    trained: int
    labelled: int

    def notice(self) -> str:
        """Says what the score is of; '' where no image was seen before."""
        if not self.trained:
            return ""
        of_all = f"of the {self.evaluated:,} evaluation images"
        if not self.labelled:
            return (
                f"{self.trained:,} {of_all} are also among the training"
                " images, without their labels (transductive)"
            )
        more = self.trained - self.labelled
        return (
            f"{self.labelled:,} {of_all} were trained on with their labels"
            f"{f', {more:,} more without' if more else ''}: the score is not"
            " of unseen images"
        )

    def to_json(self) -> dict[str, int]:
        """Returns what `derived` of a run's `config.json` holds."""
        return dataclasses.asdict(self)


def find_overlap(
    evaluation: ImageSet | None, *training: ImageSet, by_id: bool = True
) -> Overlap | None:
    """Compares evaluation images with training images, which need not be read.

    Args:
      evaluation: the evaluation split; only its labelled images count.
      *training: training images, with labels only where they were trained on
        with them.
      by_id: as in `same_images`.

    Returns:
      None where there is nothing to score.
    """
    if evaluation is None or not evaluation.has_labels:
        return None
    scored = evaluation.take(np.flatnonzero(evaluation.labels != UNLABELLED))
    trained = np.zeros(len(scored), bool)
    labelled = np.zeros(len(scored), bool)
    for images in training:
        found = same_images(scored, images, by_id=by_id)
        trained[found[:, 0]] = True
        with_label = images.labels[found[:, 1]] != UNLABELLED
        labelled[found[with_label, 0]] = True
    return Overlap(len(scored), int(trained.sum()), int(labelled.sum()))


def overlap_notice(record: Mapping[str, Any]) -> str:
    """Returns the notice that belongs to a run, from its `config.json`.

    '' where no evaluation image was trained on, and for runs that did not
    record it.
    """
    counts = record.get("derived", {}).get("overlap")
    return Overlap(**counts).notice() if counts else ""
