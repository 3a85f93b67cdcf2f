"""Labels from a table beside the images, as `labels.csv` of `--mode=label`."""

import dataclasses
import unicodedata
from collections.abc import Iterable, Mapping

from tf_simclr.data.sources.image_set import UNLABELLED, ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.registry import EXTENSIONS
from tf_simclr.data.sources.table import read_table
from tf_simclr.errors import UserError, at_most

# Names in a message; the rest is counted.
_SHOWN = 4
# The column of `predictions.csv` that holds ids; elsewhere that of paths does.
_IDS = "file"


def is_label_table(path: str | None) -> bool:
    """True for the name of a table; other files list ids alone."""
    return path is not None and path.casefold().endswith((".csv", ".tsv"))


def read_label_table(path: str) -> dict[str, str]:
    """{id or path of an image: its class} of the rows that have a class.

    Ids stand in a column `file`, or else in the column of paths (see
    `table.TITLES`).

    Raises:
      UserError: no such table, an image has two classes, or none has one.
    """
    found = labels_in(path)
    if not found:
        raise UserError(
            f"--label_ids={path} names no class of any image: it needs columns"
            " such as path and label."
        )
    return found


def labels_in(path: str) -> dict[str, str]:
    """As `read_label_table`; {} where no row has a class.

    Raises:
      UserError: no such table, or an image has two classes.
    """
    try:
        table = read_table(path, EXTENSIONS, _IDS)
        names = list(table.cells)
    except UserError:
        # Without such a column; what else is wrong is said now.
        table = read_table(path, EXTENSIONS)
        names = [name for _, name, *_ in table]
    found: dict[str, str] = {}
    for name, (number, _, label, _) in zip(names, table, strict=True):
        label = unicodedata.normalize("NFC", label.strip())
        if len(label.splitlines()) > 1:
            raise UserError(
                f"Row {number} of {path} has a class whose name has a line"
                f" break: rename it. Received: {label!r}"
            )
        if not label:
            continue
        if found.setdefault(name, label) != label:
            raise UserError(
                f"Row {number} of {path} calls {name} '{label}', an earlier"
                f" row '{found[name]}': keep one of them."
            )
    return found


def with_table_labels(
    splits: Mapping[str, ImageSet], path: str
) -> tuple[dict[str, ImageSet], list[str]]:
    """Gives images the labels of a table; the others keep theirs.

    Args:
      splits: {name: images}.
      path: of the table.

    Returns:
      The splits, with the classes of the table among their own, and notices.

    Raises:
      UserError: the table cannot be read, or names images that are not there.
    """
    return with_named_labels(splits, read_label_table(path), path)


def with_named_labels(
    splits: Mapping[str, ImageSet], labels: Mapping[str, str], path: str
) -> tuple[dict[str, ImageSet], list[str]]:
    """Gives images the labels {id or path: class}; the others keep theirs.

    Args:
      splits: {name: images}.
      labels: of some of them.
      path: of the file that the labels come from.

    Returns:
      As `with_table_labels`.

    Raises:
      UserError: labels of images that are not there.
    """
    places = {
        name: places_of(images, labels) for name, images in splits.items()
    }
    known = {name for each in places.values() for name in each}
    unknown = [name for name in labels if name not in known]
    if unknown:
        raise UserError(
            f"{path} names images that are not among those of"
            f" --dataset: {at_most(_SHOWN, unknown)}."
        )
    old = next((s.class_names for s in splits.values() if s.class_names), ())
    new = sorted(set(labels.values()) - set(old))
    names = (*old, *new)
    numbers = {name: number for number, name in enumerate(names)}
    found, changed = {}, 0
    for name, images in splits.items():
        values = images.labels.copy()
        for each, place in places[name].items():
            number = numbers[labels[each]]
            changed += values[place] not in (UNLABELLED, number)
            values[place] = number
        found[name] = dataclasses.replace(
            images, labels=values, class_names=names
        )
    notices = []
    if changed:
        notices.append(
            f"images whose class {path} says otherwise than the data set:"
            f" {changed}"
        )
    return found, notices


def table_ids(images: ImageSet, path: str) -> list[str]:
    """The ids of those images that a table gives a label, in its order."""
    names = read_label_table(path)
    places = places_of(images, names)
    return [images.ids[places[name]] for name in names if name in places]


def places_of(images: ImageSet, names: Iterable[str]) -> dict[str, int]:
    """{name: place} of the images that are called so, by id or by path.

    Args:
      images: some of them, maybe.
      names: ids or paths; those of no image are left out.
    """
    ids = {name: place for place, name in enumerate(images.ids)}
    found = {name: ids[name] for name in names if name in ids}
    missing = set(names) - found.keys()
    if missing and isinstance(images.pixels, FilePixels):
        for place in range(len(images)):
            path = images.pixels.path(place)
            if path in missing:
                found[path] = place
    return found
