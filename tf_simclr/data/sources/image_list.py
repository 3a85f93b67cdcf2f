"""A table that lists image files and their classes.

Columns: path, label, split; the last two may be missing. Without a header
the columns come in that order. A header may order them at will, call them by
other usual titles (see `table.TITLES`) and have more of them. Paths are
relative to the table's folder; an empty label means unlabelled; an empty split
means train.
"""

import collections
import functools
import os
import unicodedata

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.registry import EXTENSIONS
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.split_names import in_order, split_of
from tf_simclr.data.sources.splits import number_classes
from tf_simclr.data.sources.table import Table, read_table
from tf_simclr.errors import UserError, at_most
from tf_simclr.files import read_json

# Names in a message; the rest is counted.
_SHOWN = 4
# Names the data set that lists of --mode=suggest and --mode=label are of.
SUGGESTION_FILE = "suggestion.json"


def read_image_list(path: str) -> Source:
    """Reads the list, without opening any image.

    Raises:
      UserError: the file is unreadable, or names the row that is wrong.
    """
    path = os.path.abspath(path)
    before = stamp(path)
    table = read_table(path, EXTENSIONS)
    if not len(table):
        raise UserError(f"{path} lists no image.")
    names: dict[str, list[str]] = collections.defaultdict(list)
    classes: dict[str, list[str | None]] = collections.defaultdict(list)
    root = _root_of(path, table)
    beside = root == os.path.dirname(path)
    resolved = functools.cache(os.path.realpath)
    # {file: (row, split, label) of its first line}
    seen: dict[tuple[str, str], tuple[int, str, str, str]] = {}
    again = 0
    for number, name, label, given in table:
        where = f"Row {number} of {path}"
        if not name or "\0" in name:
            raise UserError(
                f"{where} has no path. Received: {name},{label},{given}"
            )
        name = _as_on_disk(root, name)
        split = split_of(given or "train")
        if split is None:
            raise UserError(
                f"{where} must have train, validation or test as its split."
                f" Received: {given}"
            )
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
    for split in in_order(names):
        ids = tuple(names[split])
        splits[split] = ImageSet(
            name=split,
            pixels=FilePixels(root, ids),
            labels=labels[split],
            class_names=class_names,
            ids=ids,
        )
    notices = [] if beside else [f"paths are those of images in {root}"]
    if again:
        notices.append(f"left out {again} lines that list an image once more")
    if table.unread and beside:
        names = at_most(_SHOWN, table.unread)
        notices.append(f"columns that only --group_by reads: {names}")
    return Source(splits=splits, stamps={path: before}, notices=tuple(notices))


def read_column(path: str, column: str) -> dict[str, str]:
    """Reads {id of an image: what its first line holds in a column}.

    Args:
      path: of the list.
      column: a title in its header.

    Raises:
      UserError: there is no such column.
    """
    path = os.path.abspath(path)
    table = read_table(path, EXTENSIONS, column)
    root = _root_of(path, table)
    found: dict[str, str] = {}
    for (_, name, *_), cell in zip(table, table.cells, strict=True):
        found.setdefault(_as_on_disk(root, name), cell)
    return found


def _root_of(path: str, table: Table) -> str:
    """The folder that paths of a list are relative to.

    That of the list; of the lists that `--mode=suggest` and `--mode=label`
    leave, whose paths are ids, that of the data set that they name beside.
    """
    folder = os.path.dirname(path)
    beside = os.path.join(folder, SUGGESTION_FILE)
    if not len(table) or not os.path.exists(beside):
        return folder
    first = _as_on_disk(folder, table.rows[0][1])
    if os.path.isfile(os.path.join(folder, first)):
        return folder
    try:
        dataset = os.path.abspath(read_json(beside)["dataset"])
    except (OSError, ValueError, KeyError, TypeError):
        return folder
    if os.path.isdir(dataset):
        return dataset
    return os.path.dirname(dataset) if os.path.isfile(dataset) else folder


def _class(label: str) -> str:
    return f"as '{label}'" if label else "without a label"


def _as_on_disk(root: str, name: str) -> str:
    """A path as its file is spelt: Windows separators, characters composed in
    another way, an id without an extension."""
    name = os.path.normpath(name)
    plain = name.isascii() and "\\" not in name
    if plain and os.path.splitext(name)[1].casefold() in EXTENSIONS:
        return name
    forms = dict.fromkeys(
        unicodedata.normalize(form, spelt)
        for spelt in (name, os.path.normpath(name.replace("\\", "/")))
        for form in ("NFC", "NFD")
    )
    ends = ("", *EXTENSIONS, *(end.upper() for end in EXTENSIONS))
    for end in ends:
        for spelt in (name, *forms):
            if os.path.isfile(os.path.join(root, spelt + end)):
                return spelt + end
    return name
