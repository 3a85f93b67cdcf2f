"""Files written whole or not at all."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """A temporary name beside `path`, renamed to it if all goes well."""
    folder = os.path.dirname(path) or "."
    with tempfile.TemporaryDirectory(
        dir=folder, prefix=f".{os.path.basename(path)}-"
    ) as temporary:
        name = os.path.join(temporary, os.path.basename(path))
        yield name
        os.replace(name, path)


def write_text(path: str, text: str) -> None:
    """Writes a text file."""
    with replacing(path) as name, open(name, "w", encoding="utf-8") as file:
        file.write(text)


def write_npz(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes named arrays as an .npz archive."""
    with replacing(path) as name:
        np.savez(name, **arrays)


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str) -> Any:
    """Reads a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)
