"""Recipes: the flag files that come with the package."""

import difflib
import os
import pathlib
from collections.abc import Sequence

from tf_simclr.errors import UserError

_HERE = pathlib.Path(__file__).parent


def recipes() -> dict[str, pathlib.Path]:
    """Returns {name: flag file} of every recipe, sorted by name."""
    return {path.stem: path for path in sorted(_folder().glob("*.cfg"))}


def with_recipes(argv: Sequence[str]) -> list[str]:
    """Returns a command line in which every flag file has its path.

    `--recipe=NAME` becomes the flag file of that name. A flag file that is
    not there is one of the recipes, if it is called `NAME.cfg` or
    `flags/NAME.cfg`.

    Raises:
      UserError: no recipe has that name.
    """
    found: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*found, word, *words]
        flag, equals, value = word.partition("=")
        name = flag.lstrip("-")
        if not flag.startswith("-") or name not in ("recipe", "flagfile"):
            found.append(word)
            continue
        if not equals:
            value = next(words, "")
        if not value and name == "flagfile":
            # Its refusal is that of every flag file that cannot be opened.
            found.append(word)
            continue
        path = _recipe(value) if name == "recipe" else _flag_file(value)
        found.append(f"--flagfile={path}")
    return found


def _folder() -> pathlib.Path:
    """Installed, the recipes lie in the package; in a clone, beside it."""
    inside = _HERE / "flags"
    return inside if inside.is_dir() else _HERE.parent / "flags"


def _recipe(name: str) -> str:
    path = recipes().get(name)
    if path is None:
        close = difflib.get_close_matches(name, recipes(), 1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UserError(
            f"--recipe takes one of {', '.join(recipes())}.{meant} Received:"
            f" {name}"
        )
    return str(path)


def _flag_file(path: str) -> str:
    if os.path.exists(os.path.expanduser(path)):
        return path
    for name, shipped in recipes().items():
        if path in (f"{name}.cfg", f"flags/{name}.cfg"):
            return str(shipped)
    return path
