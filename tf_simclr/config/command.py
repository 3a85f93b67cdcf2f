"""A configuration as the command line that makes it."""

import shlex
from collections.abc import Sequence
from typing import Any

from tf_simclr.config.flat import options
from tf_simclr.config.reading import unread_flags
from tf_simclr.config.run import Config
from tf_simclr.process import command


def command_words(config: Config) -> list[str]:
    """The flags that were set, one word each, in the order of `--helpfull`.

    Flags of a pipeline are left out: its parts have taken them in. So are
    those that the stage does not read: as flags of its own it refuses them.
    """
    unread = {flag.option.field.name for flag in unread_flags(config)}
    return [
        _word(option.field.name, value)
        for option in options()
        if option.field.name in config.given - unread
        and option.group != "pipeline"
        for value in [option.value_in(config)]
        if value is not None
    ]


def shell_command(words: Sequence[str], width: int = 78) -> str:
    """The program with these words, quoted and broken for a shell."""
    lines = [command()]
    for word in map(shlex.quote, words):
        # Room for a space and the backslash.
        if len(lines[-1]) + 1 + len(word) + 2 > width:
            lines.append(f"    {word}")
        else:
            lines[-1] += f" {word}"
    return " \\\n".join(lines)


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        # 10 instead of 10.0.
        return f"--{name}={value:g}"
    return f"--{name}={value}"
