"""The labelled subset of the training split: the few of "few labels"."""

import collections
import dataclasses
import hashlib
import json
import math
import os

import numpy as np

from tf_simclr.config.data import DataConfig
from tf_simclr.data.label_table import is_label_table, table_ids
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet, id_hashes
from tf_simclr.errors import UserError, at_most
from tf_simclr.files import read_json

# Rows of a table of classes, and ids in a message; the rest is counted.
_ROWS = 12
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class LabelledSubset:
    """A choice of labelled images.

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

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that have a labelled image."""
        present = np.flatnonzero(self._counts(self.labels)).tolist()
        return tuple(self.class_names[index] for index in present)

    def counts(self) -> dict[str, int]:
        """{class: labelled images}, of every class that is known."""
        counts = self._counts(self.labels).tolist()
        return dict(zip(self.class_names, counts, strict=True))

    def smallest_class(self) -> int:
        """Number of labelled images of the rarest class."""
        return int(self._counts(self.labels).min())

    def digest(self) -> str:
        """Short digest, which differs for other images."""
        text = "\n".join(sorted(self.ids))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def to_json(self) -> dict:
        """Contents of `labels.json`."""
        return {
            "class_names": list(self.class_names),
            "label_seed": self.seed,
            "count": len(self),
            "ids": list(self.ids),
            "labels": self.labels.tolist(),
        }

    def table(self, images: ImageSet) -> str:
        """Per class: images in the training split, and labels that count.

        Args:
          images: the training split.
        """
        known = images.labels[images.labels != UNLABELLED]
        rows = list(
            zip(
                self.class_names,
                self._counts(known).tolist(),
                self._counts(self.labels).tolist(),
                strict=True,
            )
        )
        without = len(images) - len(known)
        more = rows[_ROWS:]
        rows = [("class", "images", "labelled"), *rows[:_ROWS]]
        if more:
            name = f"{len(more)} more"
            rows.append((name, *(sum(row[i] for row in more) for i in (1, 2))))
        if without:
            rows.append(("unlabelled", without, 0))
        width = max(len(row[0]) for row in rows)
        return "\n".join(
            f"  {name:<{width}} {count:>8} {labelled:>9}"
            for name, count, labelled in rows
        )

    def _counts(self, labels: np.ndarray) -> np.ndarray:
        return np.bincount(labels, minlength=len(self.class_names))


def choose_labels(images: ImageSet, config: DataConfig) -> LabelledSubset:
    """The labelled subset: all, so many or a share of each class, or a list.

    Each class is put in an order by seed and id, and cut from the front: a
    smaller subset lies inside a larger one of the same seed, and what is
    drawn does not depend on the order of the images. Where images have groups,
    no group gives a second image of a class before each has given one.

    Raises:
      UserError: no labels, more asked for than a class has, or a list that
        does not fit.
    """
    if not images.has_labels:
        raise UserError(
            f"--dataset={config.dataset} has no labels in"
            f" '{images.name}', which fine-tuning needs."
        )
    if config.label_ids:
        indices = _listed(images, config.label_ids, config.dataset)
    elif config.labels_per_class or config.label_fraction:
        indices = _drawn(images, config)
    else:
        indices = np.flatnonzero(images.labels != UNLABELLED)
    return LabelledSubset(
        indices=indices,
        ids=tuple(images.ids[index] for index in indices),
        labels=images.labels[indices],
        class_names=images.class_names,
        seed=config.label_seed,
    )


def check_several_classes(subset: LabelledSubset, config: DataConfig) -> None:
    """Refuses labels of fewer than two classes.

    Raises:
      UserError: all labelled images are of one class.
    """
    if len(subset.names) < 2:
        source = f"--dataset={config.dataset} has labels"
        if config.label_ids:
            source = f"--label_ids={config.label_ids} chooses images"
        raise UserError(
            f"{source} of one class alone, '{subset.names[0]}', which any"
            " answer gets right: give labelled images of at least two classes."
            " Pretraining needs none."
        )


def _drawn(images: ImageSet, config: DataConfig) -> np.ndarray:
    labelled = np.flatnonzero(images.labels != UNLABELLED)
    ids = (images.ids[index] for index in labelled)
    hashes = id_hashes(ids, f"labels {config.label_seed}")
    # By class, then by hash.
    order = np.lexsort((hashes, images.labels[labelled]))
    if images.groups is not None:
        order = _across_groups(order, images.take(labelled), config)
    labelled = labelled[order]
    counts = np.bincount(
        images.labels[labelled], minlength=len(images.class_names)
    )
    by_class = np.split(labelled, np.cumsum(counts)[:-1])
    chosen = [
        members[: _count(len(members), name, config)]
        for members, name in zip(by_class, images.class_names, strict=True)
    ]
    return np.sort(np.concatenate(chosen))


def _across_groups(
    order: np.ndarray, images: ImageSet, config: DataConfig
) -> np.ndarray:
    """Puts images (N,) by class, the first of each group before any second."""
    salt = f"labels {config.label_seed}"
    turns: collections.Counter[tuple[int, str]] = collections.Counter()
    turn = np.zeros(len(images), np.int64)
    labels = images.labels.tolist()
    for index in order:
        key = labels[index], images.groups[index]
        turn[index] = turns[key]
        turns[key] += 1
    by_group = id_hashes(images.groups, salt)
    return np.lexsort((by_group, turn, images.labels))


def _count(available: int, name: str, config: DataConfig) -> int:
    if config.labels_per_class:
        if config.labels_per_class > available:
            raise UserError(
                f"--labels_per_class={config.labels_per_class} is more than"
                f" class '{name}' has: {available} labelled images. Take at"
                f" most {available}."
            )
        return config.labels_per_class
    # Half up, as the 1 % and 10 % lists of ImageNet are rounded.
    return min(
        available,
        max(1, math.floor(available * config.label_fraction + 0.5)),
    )


def _listed(images: ImageSet, path: str, dataset: str) -> np.ndarray:
    """The images whose ids a file names."""
    if is_label_table(path):
        # Of the images that it names, some may have been cut off.
        wanted = table_ids(images, path)
    else:
        wanted = _read_ids(path)
    positions = {name: index for index, name in enumerate(images.ids)}
    unknown = [name for name in wanted if name not in positions]
    if unknown:
        raise UserError(
            f"--label_ids={path} names images that are not among the training"
            f" images of --dataset={dataset}: {at_most(_SHOWN, unknown)}."
        )
    indices = np.array(sorted({positions[name] for name in wanted}), np.int64)
    bare = indices[images.labels[indices] == UNLABELLED]
    if len(bare):
        raise UserError(
            f"--label_ids={path} names images that have no label in"
            f" --dataset={dataset}:"
            f" {at_most(_SHOWN, [images.ids[index] for index in bare])}."
        )
    return indices


def _read_ids(path: str) -> list[str]:
    """The ids in a `labels.json`, or in a text file with one per line."""
    if not os.path.isfile(path):
        raise UserError(f"--label_ids: there is no file {path}.")
    try:
        if path.endswith(".json"):
            ids = read_json(path)["ids"]
        else:
            with open(path, encoding="utf-8-sig") as file:
                ids = [line.strip() for line in file if line.strip()]
    except OSError as error:
        raise UserError(
            f"--label_ids={path} cannot be read: {error.strerror}."
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError):
        ids = None
    if not ids or not all(isinstance(name, str) for name in ids):
        raise UserError(
            f"--label_ids={path} holds no ids: give the labels.json of a run,"
            " or a text file with one id per line."
        )
    return ids


def mask_labels(images: ImageSet, subset: LabelledSubset) -> ImageSet:
    """All images, with labels only where the subset has them."""
    labels = np.full(len(images), UNLABELLED, np.int32)
    labels[subset.indices] = subset.labels
    return images.with_labels(labels)
