"""The images that a network is most wrong about."""

from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.calibration import confidences
from tf_simclr.evaluation.row_blocks import by_blocks


class Mistake(NamedTuple):
    """One image that was taken for something else.

    Attributes:
      index: the image's place among those that were scored.
      label: its class.
      prediction: the class that it was taken for.
      confidence: the probability that the network gave to that.
    """

    index: int
    label: int
    prediction: int
    confidence: float


def worst_mistakes(
    labels: np.ndarray, logits: np.ndarray, limit: int
) -> list[Mistake]:
    """Wrong predictions, the most confident ones first.

    Args:
      labels: int (N,), -1 where unknown; those images do not count.
      logits: (N, C).
      limit: how many to return.
    """
    predictions = by_blocks(lambda block: np.argmax(block, axis=1), logits)
    confidence = confidences(logits)
    wrong = np.flatnonzero((labels >= 0) & (predictions != labels))
    order = np.argsort(-confidence[wrong], kind="stable")[:limit]
    return [
        Mistake(
            int(i), int(labels[i]), int(predictions[i]), float(confidence[i])
        )
        for i in wrong[order]
    ]
