"""Tables of images as spreadsheets, competitions and people write them."""

import codecs
import csv
import dataclasses
import io
import os
from collections.abc import Iterator, Sequence

from tf_simclr.errors import UserError, at_most

# {column: the titles that people give it}, the likeliest first.
TITLES = {
    "path": (
        *("path", "filepath", "imagepath", "imgpath", "file", "filename"),
        *("imagefile", "imagefilename", "imagename", "image", "img", "images"),
        *("imageid", "photo", "picture", "name", "id"),
    ),
    "label": (
        *("label", "class", "category", "target", "classname", "labelname"),
        *("labels", "species", "y"),
    ),
    "split": ("split", "subset", "partition", "set", "usage"),
}
COLUMNS = tuple(TITLES)
_SEPARATORS = (",", "\t", ";", "|")
# Lines that the separator is found out by.
_LOOKED_AT = 100
# Names in a message; the rest is counted.
_SHOWN = 4


@dataclasses.dataclass(frozen=True)
class Table:
    """The lines of a table that name images.

    Attributes:
      rows: (line number, path, label, split) as they are written; '' where
        there is nothing.
      unread: titles of columns that say nothing about images.
      cells: what each line holds in another column that was asked for.
    """

    rows: list[tuple[int, str, str, str]]
    unread: tuple[str, ...]
    cells: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[tuple[int, str, str, str]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def read_table(
    path: str, extensions: Sequence[str], column: str | None = None
) -> Table:
    """Reads a table of any usual separator, encoding and header.

    Without a header the columns are path, label and split; the last two may
    be missing.

    Args:
      path: the file.
      extensions: how names of image files end, in small letters.
      column: the title of a further column to read.

    Raises:
      UserError: the file is unreadable, its header names no image, or there is
        no such column.
    """
    rows = _all_rows(path)
    if not rows:
        return Table([], ())
    columns, unread = _header(rows, path, extensions)
    further = {}
    if column is not None:
        titles = rows[0][1] if columns is not None else []
        further = {column: _position(column, titles, path)}
    if columns is None:
        columns = {name: at for at, name in enumerate(COLUMNS)}
    else:
        rows = rows[1:]
    return Table(
        [
            (number, *(_cell(row, columns, name) for name in COLUMNS))
            for number, row in rows
        ],
        unread,
        tuple(_cell(row, further, name) for _, row in rows for name in further),
    )


def read_cells(path: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The first line of a table, and (line number, cells) of the others.

    Raises:
      UserError: the file is unreadable or empty.
    """
    rows = _all_rows(path)
    if not rows:
        raise UserError(f"{path} is empty.")
    return rows[0][1], rows[1:]


def _all_rows(path: str) -> list[tuple[int, list[str]]]:
    # Of all marks that end a line, only those that end one in a CSV file.
    lines = list(io.StringIO(_text(path), newline=""))
    separator = _separator([line for line in lines if line.strip()], path)
    return _rows(lines, separator, path)


def _position(column: str, titles: Sequence[str], path: str) -> int:
    """Position of a column; case and blanks around its name do not matter.

    Raises:
      UserError: names the columns there are.
    """
    plain = [title.strip().casefold() for title in titles]
    if column.casefold() in plain:
        return plain.index(column.casefold())
    there = at_most(8, titles) if titles else "no header"
    raise UserError(
        f"{path} has no column '{column}', which --group_by names; it has"
        f" {there}."
    )


def _text(path: str) -> str:
    """The file's text, in UTF-8 or UTF-16.

    Raises:
      UserError: it is neither.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        # Spreadsheets put a mark in front of their UTF-8.
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not valid UTF-8, nor UTF-16: save it as UTF-8."
            f" Received: {error.reason} at byte {error.start}"
        ) from error


def _separator(lines: Sequence[str], path: str) -> str:
    """The first separator that gives all lines equally many cells; else the
    one that is in most of them."""
    looked_at = lines[:_LOOKED_AT]
    shares = {}
    for separator in _SEPARATORS:
        try:
            rows = list(csv.reader(looked_at, delimiter=separator))
        except csv.Error:
            continue
        counts = {len(row) for row in rows}
        if len(counts) == 1 and counts.pop() > 1:
            return separator
        shares[separator] = sum(len(row) > 1 for row in rows)
    return max(shares, key=shares.get, default=",")


def _rows(
    lines: Sequence[str], separator: str, path: str
) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that is not empty."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise UserError(
            f"{path} cannot be read as a CSV file: {error} in line"
            f" {reader.line_num}."
        ) from error


def _header(
    rows: Sequence[tuple[int, list[str]]], path: str, extensions: Sequence[str]
) -> tuple[dict[str, int] | None, tuple[str, ...]]:
    """{column: position}, or None if the first line is no header; and titles
    of other columns.

    Raises:
      UserError: a header has no column of images, or two of one kind.
    """
    first = rows[0][1]
    if any(_is_image(cell, extensions) for cell in first):
        return None, ()
    plain = [
        "".join(c for c in cell.casefold() if c.isalnum()) for cell in first
    ]
    columns, unread = {}, set(range(len(first)))
    for name, titles in TITLES.items():
        places = [plain.index(title) for title in titles if title in plain]
        if not places:
            continue
        columns[name] = places[0]
        unread.discard(places[0])
        if plain.count(plain[places[0]]) > 1:
            raise UserError(
                f"The header of {path} must name each column once. Received:"
                f" {', '.join(first)}"
            )
    others = tuple(first[place].strip() for place in sorted(unread))
    if "path" in columns:
        return columns, tuple(filter(None, others))
    later = [cell for _, row in rows[1:2] for cell in row]
    if any(_is_image(cell, extensions) for cell in later):
        raise UserError(
            f"The first line of {path} names no image: a header must call the"
            f" column of images one of {at_most(8, TITLES['path'])}. Received:"
            f" {at_most(_SHOWN, first)}"
        )
    return None, ()


def _is_image(cell: str, extensions: Sequence[str]) -> bool:
    return os.path.splitext(cell.strip())[1].casefold() in extensions


def _cell(row: Sequence[str], columns: dict[str, int], name: str) -> str:
    at = columns.get(name, len(row))
    return row[at].strip() if at < len(row) else ""
