"""Top-1 and top-5 accuracy of logits."""

import numpy as np


def top_k_accuracy(labels: np.ndarray, logits: np.ndarray, k: int) -> float:
    """Share of labelled images whose class is among the k highest logits.

    Of equal logits the earlier class comes first, so that a network that
    tells nothing apart does not score full marks.

    Args:
      labels: (N,), -1 where unknown; those images do not count.
      logits: (N, classes).
      k: how many guesses; capped at the number of classes.
    """
    known = labels >= 0
    if not np.any(known):
        return float("nan")
    ranked = np.argsort(-logits[known], axis=1, kind="stable")[:, :k]
    return float(np.mean(np.any(ranked == labels[known, None], axis=1)))
