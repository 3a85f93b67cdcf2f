"""A configuration as a flat mapping of flags, and as a command line."""

import dataclasses
import os
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tf_simclr.config.field import Option, declared_options
from tf_simclr.config.reading import unread_flags
from tf_simclr.config.run import Config
from tf_simclr.config.zoo import with_zoo_model
from tf_simclr.errors import UserError
from tf_simclr.process import command
from tf_simclr.recipes import recipes
from tf_simclr.similar_names import path_meant
from tf_simclr.storage.addresses import address_of

# At most this share of the letters may be wrong.
_MOST_ERRORS = 0.5


def suggestions(attempt: str, names: Iterable[str]) -> list[str]:
    """Returns the names that begin most like `attempt`, sorted.

    They are those that the command line suggests: all with the least number
    of errors, where that is below half the letters.
    """
    if len(attempt) <= 2:
        return []
    errors = {
        name: _edit_distance(attempt, name[: len(attempt)]) for name in names
    }
    least = min(errors.values(), default=len(attempt))
    if least >= _MOST_ERRORS * len(attempt):
        return []
    return sorted(name for name in errors if errors[name] == least)


def _edit_distance(first: str, second: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours."""
    before, last = [], list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        row = [i]
        for j, other in enumerate(second, 1):
            errors = min(
                last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other)
            )
            if (
                min(i, j) > 1
                and letter == second[j - 2]
                and first[i - 2] == other
            ):
                errors = min(errors, before[j - 2] + 1)
            row.append(errors)
        before, last = last, row
    return last[-1]


def options() -> Iterator[Option]:
    """Every option of `Config`, in the order of declaration."""
    return declared_options(Config)


def flags_with(**roles: Any) -> list[str]:
    """Names of the flags whose declaration gives them these roles.

    Args:
      roles: as in `option`, such as `on_resume="fixed"`.
    """
    return [
        option.field.name
        for option in options()
        if all(option.role[name] == value for name, value in roles.items())
    ]


def score_flags(config: Config) -> list[str]:
    """Names of the flags that a score of `config` depends on."""
    found = []
    for option in options():
        identifies = option.role["identifies_score"]
        if identifies(config) if callable(identifies) else identifies:
            found.append(option.field.name)
    return found


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
    paths = {
        **dict.fromkeys(flags_with(path=True), _in_place),
        **dict.fromkeys(flags_with(path="or_name"), _in_place),
        **dict.fromkeys(flags_with(path="several"), _each_in_place),
    }
    values = {
        name: in_place(value) if (in_place := paths.get(name)) else value
        for name, value in values.items()
    }
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


def _in_place(path: str | None) -> str | None:
    """A path with `~` and `$NAME` replaced, as a shell does at the beginning
    of a word, but not behind `--name=`."""
    if not path or not isinstance(path, str) or "://" in path:
        return path
    return os.path.expanduser(os.path.expandvars(path))


def _each_in_place(paths: str | None) -> str | None:
    """Replaces `~` and `$NAME` in each of several paths, separated by
    commas."""
    if not isinstance(paths, str):
        return _in_place(paths)
    return ",".join(map(_in_place, paths.split(",")))


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
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"--{flag} has a quotation mark without its pair: put values with"
            f" one between quotation marks of the other kind. Received: {text}"
        ) from error
    place = _Place(f"--{flag} holds", "separated by spaces", refused or {})
    return dict(_read_word(word, place) for word in words)


def parse_flags(words: Iterable[str]) -> Config:
    """The configuration that flags ask for, as `Config.from_flags`.

    Raises:
      UserError: an unknown flag, a value that cannot be, or a flag file that
        cannot be read.
    """
    found = list(_read_all(words, _Place("Config.from_flags takes")))
    # Flags of its own win over those of flag files, wherever they stand.
    found.sort(key=lambda flag: not flag[-1])
    values = {name: value for name, value, _ in found}
    own = {name for name, _, from_file in found if not from_file}
    return from_flat(values, shared=values.keys() - own)


@dataclasses.dataclass(frozen=True)
class _Place:
    """The place where flags are written, for messages.

    Attributes:
      holds: subject and verb of a sentence about its flags.
      apart: how its flags are told apart.
      refused: flag -> why it may not stand there.
      files: the flag files that are being read.
    """

    holds: str
    apart: str = "each a string of its own"
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[str, ...] = ()


def _read_all(
    words: Iterable[str], place: _Place
) -> Iterator[tuple[str, Any, bool]]:
    """Yields (flag, value, whether it stands in a flag file), in order."""
    for word in words:
        name, _, path = word.partition("=")
        if name != "--flagfile":
            yield *_read_word(word, place), bool(place.files)
        elif path not in place.files:
            file = _Place(
                f"--flagfile={path} holds",
                "one on each line",
                files=(*place.files, path),
            )
            yield from _read_all(_flag_file(path), file)


def without_flag_files(
    words: Sequence[str], files: tuple[str, ...] = ()
) -> list[str]:
    """A command line with the flags of its flag files in front, so that those
    of the command line win, wherever they stand.

    Args:
      words: without the program's name, with `--flagfile=FILE` and `--flagfile
        FILE`.
      files: that are being read, and not read again. A file that they name is
        read in its place.

    Raises:
      UserError: a file cannot be read.
    """
    found, own, words = [], [], iter(words)
    for word in words:
        name, equals, path = word.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            (found if files else own).append(word)
            continue
        path = path if equals else next(words, "")
        if path and path not in files:
            lines = _flag_file(path)
            found += without_flag_files(lines, (*files, path))
    return found + own


# Of what is no flag, so much is shown.
_LONGEST = 60


def _flag_file(path: str) -> list[str]:
    """The flags of a file, which takes blank lines and comments."""
    try:
        # Some editors put a mark in front of their UTF-8.
        with open(os.path.expanduser(path), encoding="utf-8-sig") as file:
            lines = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise UserError(
            f"--flagfile={path} is not valid UTF-8: save it as UTF-8. Received:"
            f" {error.reason} at byte {error.start}"
        ) from error
    except OSError as error:
        raise UserError(
            f"--flagfile={path} cannot be read: {error.strerror}."
            f"{path_meant(path, (f'{name}.cfg' for name in recipes()))}"
        ) from error
    flags = [
        line for line in lines if line and not line.startswith(("#", "//"))
    ]
    strange = [line for line in flags if not line.startswith("-")]
    if strange:
        raise UserError(
            f"--flagfile={path} holds flags, written --name=value, one on each"
            f" line, and comments behind #. Received: {strange[0][:_LONGEST]!r}"
        )
    return flags


def _read_word(word: str, place: _Place) -> tuple[str, Any]:
    """The flag and the value that one word sets."""
    known = {option.field.name: option for option in options()}
    name, equals, value = word.lstrip("-").partition("=")
    option = known.get(name)
    if option is None and not equals and name.startswith("no"):
        negated = known.get(name[2:])
        option = negated if negated and negated.type is bool else None
    why = place.refused.get(option.field.name if option else name)
    if why:
        flag = place.holds.removesuffix(" holds")
        raise UserError(
            f"{flag} may not hold --{name}, {why}. Received: {word}"
        )
    if option is None and word.startswith("--"):
        raise _unknown(name, known, place, word)
    if option is not None and option.type is bool and not equals:
        return option.field.name, name == option.field.name
    if option is None or not equals or not word.startswith("--"):
        raise UserError(
            f"{place.holds} flags such as --train_epochs=60, {place.apart}."
            f" Received: {word}"
        )
    return name, _parse(value, option, word)


def _unknown(
    name: str, known: Iterable[str], place: _Place, word: str
) -> UserError:
    """The error for an unknown flag, worded as on the command line."""
    found = suggestions(name, known)
    meant = f" Did you mean: {', '.join(found)} ?" if found else ""
    return UserError(
        f"{place.holds} an unknown command line flag '{name}'.{meant}"
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


def command_words(config: Config) -> list[str]:
    """The flags that were set, one word each, in the order of `--helpfull`.

    Flags of a pipeline are left out: its parts have taken them in. So are
    those that the stage does not read: as flags of its own it refuses them.
    """
    unread = {flag.option.field.name for flag in unread_flags(config)}
    return [
        _word(option.field.name, _named(option, value))
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


def _named(option: Option, value: Any) -> Any:
    """The address of a local copy, which lasts; another value as it is."""
    if option.role["path"] and isinstance(value, str) and os.path.isabs(value):
        return address_of(value)
    return value


def _word(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    if isinstance(value, float) and float(f"{value:g}") == value:
        # 10 instead of 10.0.
        return f"--{name}={value:g}"
    return f"--{name}={value}"
