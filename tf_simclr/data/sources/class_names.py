"""From the names of classes to their numbers."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tf_simclr.data.sources.image_set import UNLABELLED
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
      The class names, and {split: int32 labels}.

    Raises:
      UserError: another split has a class that `train` has not.
    """
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
