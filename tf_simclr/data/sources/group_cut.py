"""The evaluation part that is cut off in whole groups."""

from collections.abc import Sequence

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED, id_hashes


def cut_groups(
    groups: Sequence[str], labels: np.ndarray, fraction: float, salt: str
) -> np.ndarray:
    """Chooses whole groups that hold about a share of each class.

    Groups are looked at in the order of the hash of their names, so that the
    choice does not depend on the order of the images, and others hardly move
    when a group comes or goes. One is taken where that brings the numbers of
    images nearer to the share of each class. Every class keeps a group, and
    gives one if it has two.

    Args:
      groups: (N,) names.
      labels: int32 (N,); images without a label go with their group.
      fraction: the share, from 0 to 1.
      salt: of the hash.

    Returns:
      bool (N,), True for images of groups that were chosen.
    """
    numbers: dict[str, int] = {}
    number = np.array(
        [numbers.setdefault(name, len(numbers)) for name in groups], np.int64
    )
    order = np.argsort(id_hashes(numbers, salt), kind="stable")
    known = labels != UNLABELLED
    classes = int(labels.max(initial=0)) + 1
    pairs, counts = np.unique(
        number[known] * classes + labels[known], return_counts=True
    )
    parts = np.split(
        np.stack([pairs % classes, counts]),
        np.searchsorted(pairs, np.arange(1, len(numbers)) * classes),
        axis=1,
    )
    total = np.bincount(labels[known], minlength=classes)
    wanted = np.maximum(1, (total * fraction + 0.5).astype(np.int64))
    wanted = np.clip(wanted, 0, np.maximum(total - 1, 0))
    # Groups of each class that are left to train on, images that were taken.
    left = np.bincount(pairs % classes, minlength=classes)
    taken, chosen = np.zeros(classes, np.int64), np.zeros(len(numbers), bool)

    def take(group: int) -> None:
        label, count = parts[group]
        taken[label] += count
        left[label] -= 1
        chosen[group] = True

    for group in order:
        label, count = parts[group]
        before = np.abs(taken[label] - wanted[label]).sum()
        after = np.abs(taken[label] + count - wanted[label]).sum()
        if len(label) and np.all(left[label] > 1) and after < before:
            take(group)
    for missing in np.flatnonzero((taken == 0) & (left > 1)):
        for group in order:
            label = parts[group][0]
            if missing in label and np.all(left[label] > 1):
                take(group)
                break
    return chosen[number]
