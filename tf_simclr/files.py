"""Small files, written whole or not at all."""

import json
import os
import tempfile
from typing import Any


def write_text(path: str, text: str) -> None:
    """Writes a text file under a temporary name, then renames it."""
    folder = os.path.dirname(path) or "."
    handle, temporary = tempfile.mkstemp(
        dir=folder, prefix=os.path.basename(path), suffix=".tmp"
    )
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes private files; a run's files follow the umask.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_json(path: str, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str) -> Any:
    """Reads a JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)
