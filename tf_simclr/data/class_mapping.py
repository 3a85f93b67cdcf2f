"""Classes of a data set, numbered as those of some weights: by their names.

A classifier knows its classes by number. Another data set may list the same
names in another order, or some of them only.
"""

import collections
import dataclasses
import functools
import unicodedata
from collections.abc import Sequence

import numpy as np

from tf_simclr.data.labels import LabelledSubset
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.errors import UserError, at_most

# Names in a message; the rest is counted.
_some = functools.partial(at_most, 8)


@dataclasses.dataclass(frozen=True)
class KnownClasses:
    """The classes that weights have learned.

    Attributes:
      names: in the order of their numbers; empty where the weights do not
        tell them.
      count: how many there are.
      where: names the weights in messages.
    """

    names: tuple[str, ...]
    count: int
    where: str


@dataclasses.dataclass(frozen=True)
class ClassMapping:
    """A map from the class numbers of a data set to those of weights.

    Attributes:
      class_names: those of the weights.
      numbers: int32, the weights' number of each class of the data set;
        `UNLABELLED` for names that no image has and the weights do not know.
      notices: what the user should know about it.
    """

    class_names: tuple[str, ...]
    numbers: np.ndarray
    notices: tuple[str, ...] = ()

    def images(self, images: ImageSet) -> ImageSet:
        """Images numbered by the weights' classes."""
        return dataclasses.replace(
            images,
            labels=self._labels(images.labels),
            class_names=self.class_names,
        )

    def subset(self, subset: LabelledSubset) -> LabelledSubset:
        """A choice of images, numbered by the weights' classes."""
        return dataclasses.replace(
            subset,
            labels=self._labels(subset.labels),
            class_names=self.class_names,
        )

    def _labels(self, labels: np.ndarray) -> np.ndarray:
        if not len(self.numbers):
            return labels
        mapped = self.numbers[np.maximum(labels, 0)]
        return np.where(labels == UNLABELLED, UNLABELLED, mapped).astype(
            np.int32
        )


def map_classes(
    parts: Sequence[ImageSet], known: KnownClasses, dataset: str
) -> ClassMapping:
    """Finds the weights' number of each class of a data set.

    Args:
      parts: splits of the data set, at least one, which number their classes
        alike.
      known: what the weights have learned.
      dataset: names the data set in messages.

    Raises:
      UserError: an image has a class that the weights do not know, or, where
        they do not tell their names, another number of classes.
    """
    found = max((part.class_names for part in parts), key=len)
    if not found:
        # No labels, so nothing to number.
        return ClassMapping(known.names, np.zeros(0, np.int32))
    if not known.names:
        return _by_number(found, known, dataset)
    numbers = {_plain(name): i for i, name in enumerate(known.names)}
    mapped = np.array(
        [numbers.get(_plain(name), UNLABELLED) for name in found], np.int32
    )
    occurs = np.zeros(len(found), bool)
    for part in parts:
        occurs[np.unique(part.labels[part.labels != UNLABELLED])] = True
    unknown = np.flatnonzero(occurs & (mapped == UNLABELLED))
    if len(unknown):
        raise UserError(
            f"--dataset={dataset} has classes that the weights in"
            f" {known.where} do not know: {_some([found[i] for i in unknown])}."
            f" They know {known.count} classes: {_some(known.names)}; the data"
            f" has {int(occurs.sum())}: {_some(np.array(found)[occurs])}. Name"
            " the folders or labels as the weights do, or export the weights"
            " with --class_names_file."
        )
    notices = []
    shared = mapped[mapped != UNLABELLED]
    if np.any(np.diff(shared) < 0):
        notices.append(
            f"classes are listed in another order than in {known.where}: they"
            " are matched by name"
        )
    missing = set(range(known.count)) - set(mapped[occurs].tolist())
    if missing:
        names = [known.names[index] for index in sorted(missing)]
        notices.append(
            f"{len(missing)} of the {known.count} classes of {known.where} have"
            f" no image here ({_some(names)}): scores are over the other"
            f" {known.count - len(missing)}, with answers among all"
            f" {known.count}"
        )
    return ClassMapping(known.names, mapped, tuple(notices))


def check_names(names: Sequence[str], known: KnownClasses, flag: str) -> None:
    """Refuses names that call a class by the name of another one.

    Args:
      names: one per class, to be used in place of the known ones.
      known: what the weights have learned.
      flag: `--flag=value`, where the names come from.

    Raises:
      UserError: names both lists.
    """
    counts = collections.Counter(names)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise UserError(
            f"{flag} gives several classes one name: each needs its own."
            f" Received: {twice[0]}"
        )
    numbers = {_plain(name): i for i, name in enumerate(known.names)}
    for index, name in enumerate(names):
        if numbers.get(_plain(name), index) != index:
            raise UserError(
                f"{flag} lists '{name}' in place {index}, but it is class"
                f" {numbers[_plain(name)]} of the weights in {known.where}:"
                " leave the flag out, or keep their order. Received:"
                f" {_some(names)}; the weights have {_some(known.names)}."
            )


def _by_number(
    found: tuple[str, ...], known: KnownClasses, dataset: str
) -> ClassMapping:
    if len(found) != known.count:
        raise UserError(
            f"The weights in {known.where} know {known.count} classes, but"
            f" --dataset={dataset} has {len(found)} ({_some(found)})."
        )
    notice = (
        f"{known.where} does not name its {known.count} classes: they are taken"
        " by their numbers, in the order of the data set's names"
    )
    return ClassMapping(found, np.arange(len(found), dtype=np.int32), (notice,))


def _plain(name: str) -> str:
    """A name in the form by which look-alike names are compared."""
    return unicodedata.normalize("NFC", name)
