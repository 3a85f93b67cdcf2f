"""The images that a network is most wrong about."""

from typing import NamedTuple

import numpy as np


class Mistake(NamedTuple):
    """One image that was taken for something else.

    Attributes:
      index: the image's place in its split.
      label: its class.
      prediction: the class that it was taken for.
      confidence: the probability that the network gave to that.
    """

    index: int
    label: int
    prediction: int
    confidence: float


def worst_mistakes(
    labels: np.ndarray, probabilities: np.ndarray, limit: int
) -> list[Mistake]:
    """Wrong predictions, the most confident ones first.

    Args:
      labels: int (N,), -1 where unknown; those images do not count.
      probabilities: (N, C).
      limit: how many to return.
    """
    predictions = np.argmax(probabilities, axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero((labels >= 0) & (predictions != labels))
    order = np.argsort(-confidence[wrong], kind="stable")[:limit]
    return [
        Mistake(
            int(i), int(labels[i]), int(predictions[i]), float(confidence[i])
        )
        for i in wrong[order]
    ]
