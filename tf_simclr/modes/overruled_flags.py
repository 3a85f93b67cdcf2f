"""Flags of a pipeline's command line that the strings of its parts overrule."""

from collections.abc import Mapping
from typing import Any

from tf_simclr.config.flat import options
from tf_simclr.config.run import Config

# A part with flags of the second kind does not read the first.
_INSTEAD = {"train_epochs": "train_steps"}


def overruled_lines(
    config: Config, strings: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Says which flags do not reach all parts.

    Args:
      config: of the pipeline. Flags of its flag files are left out: the strings
        stand beside them.
      strings: part -> flags of its own string.

    Returns:
      A line for each flag; none if no part has another value of its own.
    """
    lines = []
    for option in options():
        name = option.field.name
        if name not in config.given - config.shared:
            continue
        value = option.value_in(config)
        parts = [
            part
            for part, own in strings.items()
            if own.get(name, value) != value or own.get(_INSTEAD.get(name, ""))
        ]
        if parts:
            flags = ", ".join(f"--{part}_flags" for part in parts)
            lines.append(
                f"--{name}={value} does not reach {', '.join(parts)}:"
                f" {flags} win{'s' * (len(parts) == 1)} over it."
            )
    return lines
