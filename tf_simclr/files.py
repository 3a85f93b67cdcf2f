"""Files written whole or not at all."""

import contextlib
import csv
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

# Begins the names of folders that hold what is not yet whole.
_UNFINISHED = ".writing-"


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """A temporary name beside `path`, renamed to it if all goes well."""
    folder = os.path.dirname(path) or "."
    with (
        naming(path),
        tempfile.TemporaryDirectory(
            dir=folder, prefix=f"{_UNFINISHED}{os.path.basename(path)}-"
        ) as temporary,
    ):
        name = os.path.join(temporary, os.path.basename(path))
        yield name
        to_disk(name)
        os.replace(name, path)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Lets an `OSError` of writing to an open file name that file."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = path
        raise


def to_disk(path: str) -> None:
    """Waits until a file's bytes are on the disk; a folder is left alone."""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def remove_unfinished(folder: str) -> None:
    """Removes what a process left that was killed while it wrote a file."""
    for name in os.listdir(folder):
        if name.startswith(_UNFINISHED):
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)


def write_text(path: str, text: str) -> None:
    """Writes a text file."""
    with replacing(path) as name, open(name, "w", encoding="utf-8") as file:
        file.write(text)


def write_csv(path: str, rows: Iterable[Iterable[Any]]) -> None:
    """Writes a table, its titles first, in UTF-8."""
    with (
        replacing(path) as name,
        open(name, "w", encoding="utf-8", newline="") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows(rows)


def write_npz(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays, of any shapes, as an .npz archive."""
    with replacing(path) as name:
        np.savez(name, **arrays)


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, as_json(value, indent=2, ensure_ascii=False) + "\n")


def as_json(value: Any, **options: Any) -> str:
    """JSON; a number that is not finite, which JSON does not know, is null.

    Args:
      value: of dictionaries, lists, tuples and what JSON knows.
      options: of `json.dumps`.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_without_nan(value), allow_nan=False, **options)


def read_json(path: str) -> Any:
    """Reads a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
