"""A configuration as one flat mapping of flag names to values."""

import dataclasses
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from tf_simclr.config.field import Option, declared_options
from tf_simclr.config.run import Config
from tf_simclr.config.suggest import suggestions
from tf_simclr.config.zoo import with_zoo_model
from tf_simclr.errors import UserError


def options() -> Iterator[Option]:
    """Every option of `Config`, in the order of declaration."""
    return declared_options(Config)


def to_flat(config: Config) -> dict[str, Any]:
    """{flag name: value} of a configuration."""
    return {option.field.name: option.value_in(config) for option in options()}


def from_flat(
    values: Mapping[str, Any],
    base: Config | None = None,
    shared: Collection[str] = (),
) -> Config:
    """`base` (or the defaults) with the named values replaced.

    `model`, a name of the zoo, stands for depth, width and kernels.

    Args:
      values: {flag name: value}; they count as given.
      base: what the rest is taken from.
      shared: names of those values that were not set for this mode alone.

    Raises:
      UserError: a value is out of its bounds, or contradicts `model`.
      KeyError: a name is no option.
    """
    base = base or Config()
    if base.model.model is not None:
        # Refuses what contradicts it.
        with_zoo_model({"model": base.model.model, **values})
    values = with_zoo_model(values)
    groups: dict[str, dict[str, Any]] = {}
    by_name = {option.field.name: option.group for option in options()}
    for name, value in values.items():
        groups.setdefault(by_name[name], {})[name] = value
    return dataclasses.replace(
        base,
        given=base.given | set(values),
        shared=(base.shared - set(values)) | set(shared),
        inherited=base.inherited - set(values),
        **{
            group: dataclasses.replace(getattr(base, group), **changes)
            for group, changes in groups.items()
        },
    )


def parse_overrides(
    text: str, flag: str, refused: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Reads flags written in a string, such as a pipeline's stage flags.

    Args:
      text: `--name=value` and `--name` / `--noname` for booleans, separated
        by spaces.
      flag: the flag that holds the text, for error messages.
      refused: flag -> why it may not stand there.

    Raises:
      UserError: an unknown or refused flag, or an unreadable value.
    """
    known = {option.field.name: option for option in options()}
    overrides: dict[str, Any] = {}
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"--{flag} has a quotation mark without its pair: put values with"
            f" one between quotation marks of the other kind. Received: {text}"
        ) from error
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        option = known.get(name)
        if option is None and not equals and name.startswith("no"):
            negated = known.get(name[2:])
            option = negated if negated and negated.type is bool else None
        why = (refused or {}).get(option.field.name if option else name)
        if why:
            raise UserError(
                f"--{flag} may not hold --{name}, {why}. Received: {word}"
            )
        if option is None and word.startswith("--"):
            raise _unknown(name, known, flag, word)
        if option is not None and option.type is bool and not equals:
            overrides[option.field.name] = name == option.field.name
            continue
        if option is None or not equals or not word.startswith("--"):
            raise UserError(
                f"--{flag} holds flags such as --train_epochs=60, separated by"
                f" spaces. Received: {word}"
            )
        overrides[name] = _parse(value, option, word)
    return overrides


def _unknown(
    name: str, known: Iterable[str], flag: str, word: str
) -> UserError:
    """The refusal of a flag that is none, worded as on the command line."""
    found = suggestions(name, known)
    meant = f" Did you mean: {', '.join(found)} ?" if found else ""
    return UserError(
        f"--{flag} holds an unknown command line flag '{name}'.{meant}"
        f" Received: {word}"
    )


def _parse(value: str, option: Option, word: str) -> Any:
    if option.type is bool:
        truth = {"true": True, "1": True, "false": False, "0": False}
        if value.lower() in truth:
            return truth[value.lower()]
    else:
        try:
            return option.type(value)
        except ValueError:
            pass
    raise UserError(
        f"--{option.field.name} takes a value of type"
        f" {option.type.__name__}. Received: {word}"
    )
