"""Checks of the splits of every source, whatever it was read from."""

import dataclasses
import re
import unicodedata
from collections.abc import Mapping

import numpy as np

from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    join_unlabelled,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError, at_most

# Names in a message; the rest is counted.
_SHOWN = 5
# Images whose largest value is not above it are as good as black.
_DARKEST = 15

Splits = Mapping[str, ImageSet]


def check_classes(splits: Splits, dataset: str) -> list[str]:
    """Oddities of the classes, in words.

    Args:
      splits: {name: images}.
      dataset: names the data set in error messages.

    Raises:
      UserError: an evaluation part has a class that no training image has.
    """
    train = splits.get("train")
    if train is None or not train.has_labels:
        return []
    names = train.class_names
    broken = [name for name in names if len(name.splitlines()) > 1]
    if broken:
        raise UserError(
            f"{dataset} has a class whose name has a line break, which no list"
            f" of names can hold: rename it. Received: {broken[0]!r}"
        )
    counts = class_counts(train)
    trained = _classes_in(train)
    for split, images in splits.items():
        strange = [n for n in _classes_in(images) if n not in trained]
        if strange:
            listed = at_most(_SHOWN, [f"'{name}'" for name in strange])
            what = "classes" if len(strange) > 1 else "class"
            raise UserError(
                f"The split '{split}' of {dataset} has the {what} {listed},"
                " which its training images have not."
            )
    notices = []
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        listed = at_most(_SHOWN, [names[index] for index in empty])
        notices.append(
            f"{len(empty)} of the {len(names)} classes have no training image:"
            f" {listed}"
        )
    for alike in look_alikes(names):
        listed = " and ".join(f"'{name}'" for name in alike)
        notices.append(f"classes that look alike count as different: {listed}")
    if len(names) == 1:
        notices.append(f"there is only one class, '{names[0]}'")
    return notices


def check_pixels(splits: Splits) -> list[str]:
    """Oddities of images in memory, in words."""
    notices = []
    for split, images in splits.items():
        if not isinstance(images.pixels, ArrayPixels):
            continue
        highest = int(images.pixels.array.max())
        if highest <= _DARKEST:
            notices.append(
                f"the images of '{split}' are nearly black: none of their"
                f" values is above {highest}, of 255. Scale them to 0 ... 255,"
                " or store them as floats in [0, 1]"
            )
    return notices


def class_counts(images: ImageSet) -> np.ndarray:
    """Images of each class: int64 (C,)."""
    labels = images.labels[images.labels != UNLABELLED]
    return np.bincount(labels, minlength=len(images.class_names))


def _classes_in(images: ImageSet) -> list[str]:
    """The names of the classes that have an image."""
    counts = class_counts(images)
    return [images.class_names[index] for index in np.flatnonzero(counts)]


def look_alikes(names: tuple[str, ...]) -> list[list[str]]:
    """Groups of names that differ only in case, in blanks and the like."""
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = unicodedata.normalize("NFKC", name).casefold()
        plain = re.sub(r"[\s_-]+", " ", plain).strip()
        groups.setdefault(plain, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def without_lost_classes(
    before: Splits, after: Splits
) -> tuple[dict[str, ImageSet], list[str]]:
    """Leaves out classes all of whose images were left out.

    Args:
      before: all images.
      after: those that are left, as `before` numbers their classes.

    Returns:
      `after` with the other classes numbered anew, and what to say about it.
    """
    had = [name for images in before.values() for name in _classes_in(images)]
    has = {name for images in after.values() for name in _classes_in(images)}
    lost = [name for name in dict.fromkeys(had) if name not in has]
    if not lost:
        return dict(after), []
    left = {}
    for split, images in after.items():
        gone = np.array([name in lost for name in images.class_names], bool)
        numbers = np.cumsum(~gone, dtype=np.int32) - 1
        labels = images.labels.copy()
        labelled = labels != UNLABELLED
        labels[labelled] = numbers[labels[labelled]]
        kept = tuple(name for name in images.class_names if name not in lost)
        left[split] = dataclasses.replace(
            images, labels=labels, class_names=kept
        )
    listed = at_most(_SHOWN, lost)
    return left, [f"classes without an image that can be read: {listed}"]


def with_unlabelled_parts(
    splits: Splits,
) -> tuple[dict[str, ImageSet], list[str], list[str]]:
    """Takes evaluation parts without any label for unlabelled training images.

    As competitions give out their test images. Where the training images have
    no label either, nothing changes.

    Returns:
      The splits, what to say about it, and the names of the parts that joined:
      nothing can be scored on them.
    """
    train = splits.get("train")
    if train is None or not train.has_labels:
        return dict(splits), [], []
    parts = [
        name
        for name, images in splits.items()
        if name != "train"
        and not images.has_labels
        and _of_one_kind(train, images)
    ]
    if not parts:
        return dict(splits), [], []
    train = join_unlabelled(train, [splits[name] for name in parts], prefix="")
    notices = [
        f"the split '{name}' has no labels: its {len(splits[name])} images"
        " count as unlabelled training images"
        for name in parts
    ]
    return {**splits, "train": train}, notices, parts


def _of_one_kind(first: ImageSet, second: ImageSet) -> bool:
    one, other = first.pixels, second.pixels
    if isinstance(one, ArrayPixels) and isinstance(other, ArrayPixels):
        return one.size == other.size
    return type(one) is type(other)
