"""Inequality of classes, and the weights of their images against it."""

from collections.abc import Sequence

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED

# Largest by smallest class: above the first, accuracy says little of the small
# classes, so that macro-F1 chooses and recall of each class is shown first;
# above the second, a notice recommends --class_balance.
UNEQUAL = 1.5
VERY_UNEQUAL = 5.0
# Classes that the notice names.
_SHOWN = 5


def counts_of(labels: np.ndarray, num_classes: int = 0) -> np.ndarray:
    """Labelled images of each class, int64 (C,).

    Args:
      labels: int (N,), -1 where unknown; those images do not count.
      num_classes: C, if higher than the highest label tells.
    """
    known = labels[labels != UNLABELLED]
    return np.bincount(known, minlength=num_classes)


def inequality(counts: np.ndarray) -> float:
    """The largest class by the smallest of those that occur: a scalar, at
    least 1, and 1 where fewer than two occur.

    Args:
      counts: int (C,), images of each class.
    """
    present = counts[counts > 0]
    return float(present.max() / present.min()) if len(present) else 1.0


def are_unequal(counts: np.ndarray) -> bool:
    """True if classes are so unequal that accuracy mostly reflects the large
    ones.

    Args:
      counts: int (C,), images of each class; those without any do not count.
    """
    return inequality(counts) > UNEQUAL


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Weights of images by class that make all classes count alike.

    N / (C n_c) for class c, with n_c of the N labelled images, where C classes
    have any: scikit-learn's `class_weight="balanced"`, after King and Zeng
    (2001). The mean over the N images is 1. A class without one has weight 0.

    Args:
      labels: int (M,), -1 where unknown; those images do not count.

    Returns:
      float32 (K,) for the classes 0 ... K - 1 up to the highest label; (0,)
      without labels.
    """
    counts = counts_of(labels)
    present = np.count_nonzero(counts)
    return np.divide(
        counts.sum() / max(present, 1),
        counts,
        out=np.zeros(len(counts)),
        where=counts > 0,
    ).astype(np.float32)


def balance_note(
    labels: np.ndarray, class_names: Sequence[str], balance: str
) -> str:
    """A line on unequal classes, for the announcement of a run; '' for none.

    Args:
      labels: int (N,) of the training images, -1 where unknown.
      class_names: C names.
      balance: `--class_balance`.
    """
    counts = counts_of(labels, len(class_names))
    if balance == "batches":
        present = np.count_nonzero(counts)
        return f"balance    batches draw {present} classes evenly"
    if balance == "loss":
        weights = balanced_weights(labels)
        weights = weights[weights > 0]
        return (
            "balance    an image weighs"
            f" {weights.min():.3g} to {weights.max():.3g} in the loss, by the"
            " size of its class"
        )
    if inequality(counts) <= VERY_UNEQUAL:
        return ""
    order = np.argsort(-counts, kind="stable")
    named = [f"{class_names[c]} {counts[c]}" for c in order if counts[c]]
    if len(named) > _SHOWN:
        # The largest, and the smallest.
        named = [*named[: _SHOWN - 2], "...", *named[-2:]]
    return (
        f"classes    have unequal numbers of labels ({', '.join(named)});"
        " --class_balance=loss or --class_balance=batches makes them count"
        " alike"
    )
