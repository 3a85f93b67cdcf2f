"""Top-1 and top-5 accuracy of logits."""

import numpy as np

from tf_simclr.evaluation.row_blocks import by_blocks


def top_k_accuracy(labels: np.ndarray, logits: np.ndarray, k: int) -> float:
    """Share of labelled images whose class is among the k highest logits.

    Of equal logits the earlier class comes first, so that a network that
    tells nothing apart does not score full marks.

    Args:
      labels: (N,), -1 where unknown; those images do not count.
      logits: (N, classes).
      k: how many guesses.

    Raises:
      ValueError: no image has a label.
    """
    known = np.flatnonzero(labels >= 0)
    if not len(known):
        raise ValueError("There is no accuracy without a labelled image.")
    return float(np.mean(label_ranks(labels[known], logits, known) < k))


def label_ranks(
    labels: np.ndarray, logits: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Number of classes that come before an image's own, int (n,).

    Those with a higher logit, and of equal logits the earlier classes.

    Args:
      labels: int (n,), all known, of `rows`.
      logits: (N, C).
      rows: int (n,), which rows of the logits are meant.
    """

    def ranks(block: np.ndarray, labels: np.ndarray) -> np.ndarray:
        own = np.take_along_axis(block, labels[:, None], axis=1)
        earlier = np.arange(block.shape[1]) < labels[:, None]
        before = (block > own) | ((block == own) & earlier)
        return before.sum(axis=1)

    return by_blocks(ranks, logits, rows, labels)
