"""Which images of the training split have labels: the few of "few labels"."""

import dataclasses
import math

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError


@dataclasses.dataclass(frozen=True)
class LabelledSubset:
    """A class-balanced choice of labelled images.

    Attributes:
      indices: positions in the training split, ascending.
      ids: their ids.
      labels: their classes.
      class_names: one name per class.
      seed: the seed that drew them.
    """

    indices: np.ndarray
    ids: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    seed: int

    def __len__(self) -> int:
        return len(self.indices)

    def smallest_class(self) -> int:
        """Number of labelled images of the rarest class."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return int(counts.min())

    def to_json(self) -> dict:
        """What `labels.json` holds."""
        return {
            "class_names": list(self.class_names),
            "label_seed": self.seed,
            "count": len(self),
            "ids": list(self.ids),
            "labels": self.labels.tolist(),
        }


def choose_labels(images: ImageSet, config: DataConfig) -> LabelledSubset:
    """Draws the labelled subset: all, so many or a share of each class.

    Each class is shuffled once by the seed and cut from the front, so that a
    smaller subset lies inside a larger one of the same seed.

    Raises:
      UserError: no labels, or more asked for than a class has.
    """
    if not images.has_labels:
        raise UserError(
            f"--dataset={config.dataset} has no labels in"
            f" '{images.name}', which fine-tuning needs."
        )
    chosen = []
    for label, name in enumerate(images.class_names):
        members = np.flatnonzero(images.labels == label)
        rng = np.random.default_rng([config.label_seed, label])
        rng.shuffle(members)
        count = _count(len(members), name, config)
        chosen.append(members[:count])
    indices = np.sort(np.concatenate(chosen))
    return LabelledSubset(
        indices=indices,
        ids=tuple(images.ids[index] for index in indices),
        labels=images.labels[indices],
        class_names=images.class_names,
        seed=config.label_seed,
    )


def _count(available: int, name: str, config: DataConfig) -> int:
    if config.labels_per_class:
        if config.labels_per_class > available:
            raise UserError(
                f"--labels_per_class={config.labels_per_class} is more than"
                f" class '{name}' has: {available} labelled images. Take at"
                f" most {available}."
            )
        return config.labels_per_class
    if config.label_fraction:
        # Half up, as the 1 % and 10 % lists of ImageNet are rounded.
        return min(
            available,
            max(1, math.floor(available * config.label_fraction + 0.5)),
        )
    return available


def mask_labels(images: ImageSet, subset: LabelledSubset) -> ImageSet:
    """All images, with labels only where the subset has them."""
    labels = np.full(len(images), UNLABELLED, np.int32)
    labels[subset.indices] = subset.labels
    return images.with_labels(labels)
