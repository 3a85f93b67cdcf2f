"""Dataclass fields that describe a flag: default, help, choices, bounds.

A field made by `option` is the single source of a flag's name (the field's
name), type (its annotation), default and help text. `run.py` derives the
command-line flags from these fields, and `check_fields` enforces the bounds
wherever a configuration is built, also from a notebook.
"""

import dataclasses
import types
import typing
from typing import Any

from tf_simclr.errors import UserError


def option(
    default: Any,
    help_text: str,
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    path: bool = False,
) -> Any:
    """A dataclass field that is also a command-line flag.

    Args:
      default: the flag's default.
      help_text: one or two sentences for `--helpfull`.
      choices: the values an enum flag may take.
      minimum: smallest allowed number (inclusive).
      maximum: largest allowed number (inclusive).
      above: exclusive lower bound.
      path: whether it names a file or folder, which is stored as an absolute
        path.

    Returns:
      A `dataclasses.field`.
    """
    metadata = {
        "help": help_text,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "path": path,
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_type(field_type: Any) -> type:
    """The plain type of a field: `int` for `int` and for `int | None`."""
    if isinstance(field_type, types.UnionType):
        members = [
            member
            for member in typing.get_args(field_type)
            if member is not type(None)
        ]
        return members[0]
    return field_type


def check_fields(config: Any) -> None:
    """Checks every option of a dataclass against its choices and bounds.

    Raises:
      UserError: names the flag, the bound and the value received.
    """
    for field in dataclasses.fields(config):
        if "help" not in field.metadata:
            continue
        value = getattr(config, field.name)
        if value is None:
            continue
        _check_value(field.name, value, field.metadata)


def _check_value(name: str, value: Any, metadata: Any) -> None:
    choices = metadata["choices"]
    if choices is not None and value not in choices:
        raise UserError(
            f"--{name} must be one of {', '.join(choices)}. Received: {value}"
        )
    if isinstance(value, (bool, str)):
        return
    if value != value:
        raise UserError(f"--{name} must be a number. Received: {value}")
    above = metadata["above"]
    if above is not None and not value > above:
        raise UserError(
            f"--{name} must be greater than {above}. Received: {value}"
        )
    minimum = metadata["minimum"]
    if minimum is not None and value < minimum:
        raise UserError(
            f"--{name} must be at least {minimum}. Received: {value}"
        )
    maximum = metadata["maximum"]
    if maximum is not None and value > maximum:
        raise UserError(
            f"--{name} must be at most {maximum}. Received: {value}"
        )
