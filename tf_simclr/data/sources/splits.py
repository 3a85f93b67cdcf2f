"""Splits by name, parts of splits, and the numbers of classes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

import numpy as np

from tf_simclr.data.sources.group_cut import cut_groups
from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet, id_hashes
from tf_simclr.errors import UserError


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in order; those that are all integers by value."""
    distinct = set(names)
    if all(name.isdecimal() for name in distinct):
        return tuple(sorted(distinct, key=lambda name: (int(name), name)))
    return tuple(sorted(distinct))


def number_classes(
    classes: Mapping[str, Sequence[str | None]], dataset: str
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Numbers the classes of all splits alike, by those of `train`.

    Args:
      classes: {split: class of each image, None where unknown}.
      dataset: names the data set in error messages.

    Returns:
      The class names, and {split: int32 labels (N,)}.

    Raises:
      UserError: another split has a class that `train` has not.
    """
    classes = {
        # A Mac writes é as two characters.
        split: [
            name if name is None or name.isascii() else normalize("NFC", name)
            for name in found
        ]
        for split, found in classes.items()
    }
    known = {split: set(found) - {None} for split, found in classes.items()}
    names = class_order(known.get("train") or set().union(*known.values()))
    numbers = {name: number for number, name in enumerate(names)}
    for split, found in known.items():
        strange = sorted(found - set(names))
        if strange:
            raise UserError(
                f"The split '{split}' of {dataset} has the class"
                f" '{strange[0]}', which its training images have not."
            )
    numbers[None] = UNLABELLED
    return names, {
        split: np.array([numbers[name] for name in found], np.int32)
        for split, found in classes.items()
    }


# The cut is the same for every seed of a run.
_CUT_SALT = "evaluation part"
_EVALUATION_NAMES = ("validation", "test")


def parse_split(text: str) -> tuple[str, str]:
    """Splits `train[:80%]` into the split's name and the slice.

    Raises:
      UserError: the part in brackets cannot be read.
    """
    match = re.fullmatch(r"([^\[\]]+)(?:\[([^\[\]]*)\])?", text)
    if not match:
        raise UserError(
            "A split is written as NAME, NAME[:80%] or NAME[1000:2000]."
            f" Received: {text}"
        )
    return match.group(1), match.group(2) or ""


def slice_bounds(text: str, count: int, split: str) -> tuple[int, int]:
    """First and last + 1 index of a slice such as `:80%` or `1000:`.

    Raises:
      UserError: it cannot be read, or holds no image.
    """
    if not text:
        return 0, count
    match = re.fullmatch(r"(\d+%?)?:(\d+%?)?", text)
    if not match:
        raise UserError(
            "A split is written as NAME, NAME[:80%] or NAME[1000:2000]."
            f" Received: {split}"
        )

    def position(bound: str | None, default: int) -> int:
        if bound is None:
            return default
        if bound.endswith("%"):
            return round(count * int(bound[:-1]) / 100)
        return int(bound)

    start, stop = position(match[1], 0), position(match[2], count)
    if not 0 <= start < stop <= count:
        raise UserError(
            f"The split {split} is empty or reaches beyond the {count} images"
            " there are."
        )
    return start, stop


def pick_split(
    splits: Mapping[str, ImageSet], wanted: str, dataset: str
) -> ImageSet:
    """The split, or part of one, that a flag names.

    'validation', the original's default for --eval_split, stands for 'test'
    where a dataset has only that.

    Raises:
      UserError: there is no such split; the message lists those there are.
    """
    name, part = parse_split(wanted)
    if name not in splits and name == "validation" and "test" in splits:
        name = "test"
    if name not in splits:
        raise UserError(
            f"The dataset {dataset} has no split '{name}'; it has"
            f" {', '.join(splits)}. Received: {wanted}"
        )
    chosen = splits[name]
    start, stop = slice_bounds(part, len(chosen), wanted)
    if (start, stop) == (0, len(chosen)):
        return chosen
    return chosen.take(np.arange(start, stop))


def cut_evaluation(
    splits: Mapping[str, ImageSet],
    fraction: float,
    dataset: str,
    unlabelled: Sequence[str] = (),
) -> dict[str, ImageSet]:
    """Moves a share of each class of `train` to a new split `validation`.

    An image belongs to the cut by its id alone, whatever the order and the
    seed. Every class keeps at least one image; images without a label stay.
    Where images have groups, whole groups move, see `cut_groups`.

    Args:
      splits: {name: images}.
      fraction: the share, from 0 to 1.
      dataset: names the data set in error messages.
      unlabelled: evaluation parts without a label, which do not count.

    Raises:
      UserError: there is an evaluation part already, or no label.
    """
    present = [
        name
        for name in _EVALUATION_NAMES
        if name in splits and name not in unlabelled
    ]
    if present:
        raise UserError(
            f"--eval_fraction={fraction:g} cuts an evaluation part off the"
            f" training images, but --dataset={dataset} has a split"
            f" '{present[0]}': leave the flag out."
        )
    train = pick_split(splits, "train", dataset)
    if not train.has_labels:
        raise UserError(
            f"--eval_fraction={fraction:g} cuts off labelled images to"
            f" evaluate on, but --dataset={dataset} has no labels: leave the"
            " flag out."
        )
    what = "image"
    if train.groups is None:
        evaluated = _cut_images(train, fraction)
    else:
        what = "group of images"
        evaluated = cut_groups(train.groups, train.labels, fraction, _CUT_SALT)
    if not evaluated.any():
        raise UserError(
            f"--eval_fraction={fraction:g} leaves nothing to evaluate on:"
            f" every class of --dataset={dataset} has only one {what}."
        )
    cut = train.take(np.flatnonzero(evaluated)).renamed("validation")
    kept = train.take(np.flatnonzero(~evaluated))
    return {**splits, "train": kept, "validation": cut}


def cut_notice(splits: Mapping[str, ImageSet], fraction: float) -> str:
    """Says how many groups and images were cut off.

    Args:
      splits: from `cut_evaluation`, of images with groups.
      fraction: the share that was asked for.
    """
    cut, kept = splits["validation"], splits["train"]
    labelled = [
        int(np.sum(images.labels != UNLABELLED)) for images in (cut, kept)
    ]
    groups = [len(set(images.groups)) for images in (cut, kept)]
    return (
        f"--eval_fraction={fraction:g} cut off {groups[0]:,} of"
        f" {sum(groups):,} groups, {labelled[0]:,} of {sum(labelled):,}"
        " labelled images"
    )


def _cut_images(train: ImageSet, fraction: float) -> np.ndarray:
    hashes = id_hashes(train.ids, _CUT_SALT)
    evaluated = np.zeros(len(train), bool)
    for label in range(len(train.class_names)):
        members = np.flatnonzero(train.labels == label)
        members = members[np.argsort(hashes[members], kind="stable")]
        count = max(1, int(len(members) * fraction + 0.5))
        evaluated[members[: min(count, len(members) - 1)]] = True
    return evaluated
