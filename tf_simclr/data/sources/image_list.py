"""A CSV file that lists image files and their classes.

Columns: path, label, split; the last two may be missing. Without a header
the columns come in that order. A header starts with `path`, `file`,
`filename` or `image` and may order the columns `label` and `split` at will.
Paths are relative to the CSV's folder; an empty label means unlabelled; an
empty split means train.
"""

import collections
import csv
import functools
import os
from collections.abc import Sequence

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.splits import SPLIT_NAMES, number_classes
from tf_simclr.errors import UserError

_PATH_TITLES = ("path", "file", "filename", "image")
_COLUMNS = ("path", "label", "split")


def read_image_list(path: str) -> Source:
    """Reads the list, without opening any image.

    Raises:
      UserError: the file is unreadable, or names the row that is wrong.
    """
    path = os.path.abspath(path)
    before = stamp(path)
    rows = _rows(path)
    columns = _header(rows[0][1], path) if rows else None
    if columns is not None:
        rows = rows[1:]
    if not rows:
        raise UserError(f"{path} lists no image.")
    columns = columns or {name: at for at, name in enumerate(_COLUMNS)}
    names: dict[str, list[str]] = collections.defaultdict(list)
    classes: dict[str, list[str | None]] = collections.defaultdict(list)
    root = os.path.dirname(path)
    resolved = functools.cache(os.path.realpath)
    # {file: (row, split, label) of its first line}
    seen: dict[tuple[str, str], tuple[int, str, str, str]] = {}
    again = 0
    for number, row in rows:
        name = _cell(row, columns, "path")
        where = f"Row {number} of {path}"
        if not name or "\0" in name:
            raise UserError(f"{where} has no path. Received: {','.join(row)}")
        name = os.path.normpath(name)
        given = _cell(row, columns, "split") or "train"
        split = SPLIT_NAMES.get(given.casefold())
        if split is None:
            raise UserError(
                f"{where} must have train, validation or test as its split."
                f" Received: {given}"
            )
        label = _cell(row, columns, "label")
        # Whatever its folder is called; links to a file are files of their
        # own, since a million of them take long to follow.
        folder, file = os.path.split(os.path.join(root, name))
        first = seen.setdefault(
            (resolved(folder), file), (number, split, label, name)
        )
        # In another split, under a name of its own, it is an image of its own:
        # that it was trained on is told where it is scored.
        elsewhere = first[1] != split and first[3] != name
        if first[0] != number and not (elsewhere and first[2] == label):
            if first[1:3] != (split, label):
                raise UserError(
                    f"{where} lists {name} a second time, in split '{split}'"
                    f" {_class(label)}; row {first[0]} lists it in split"
                    f" '{first[1]}' {_class(first[2])}: keep one of them."
                )
            again += 1
            continue
        names[split].append(name)
        classes[split].append(label or None)
    class_names, labels = number_classes(classes, path)
    splits = {}
    for split in sorted(names, key=list(SPLIT_NAMES.values()).index):
        ids = tuple(names[split])
        splits[split] = ImageSet(
            name=split,
            pixels=FilePixels(root, ids),
            labels=labels[split],
            class_names=class_names,
            ids=ids,
        )
    notices = []
    if again:
        notices.append(f"left out {again} lines that list an image once more")
    return Source(splits=splits, stamps={path: before}, notices=tuple(notices))


def _rows(path: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty."""
    try:
        # Spreadsheets put a mark in front of their UTF-8.
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            return [(reader.line_num, row) for row in reader if any(row)]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid UTF-8: {error}.") from error
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read as a CSV file: {error} in line"
            f" {reader.line_num}."
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _header(row: Sequence[str], path: str) -> dict[str, int] | None:
    """{column: position} if the row is a header, else None."""
    titles = [cell.strip().casefold() for cell in row]
    if titles[0] not in _PATH_TITLES:
        return None
    titles[0] = "path"
    for title in titles:
        if title not in _COLUMNS or titles.count(title) > 1:
            raise UserError(
                f"The header of {path} may hold path, label and split, once"
                f" each. Received: {','.join(row)}"
            )
    return {title: at for at, title in enumerate(titles)}


def _class(label: str) -> str:
    return f"as '{label}'" if label else "without a label"


def _cell(row: Sequence[str], columns: dict[str, int], name: str) -> str:
    at = columns.get(name, len(row))
    return row[at].strip() if at < len(row) else ""
