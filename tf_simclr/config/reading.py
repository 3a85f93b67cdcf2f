"""Given flags that the mode does not read.

A flag that somebody set for the mode in hand is refused. One that several
modes share (a flag file, the common flags of a pipeline) or that the original
release takes as well is left out, and said to be.
"""

import dataclasses
import difflib
from typing import TYPE_CHECKING, Any

from tf_simclr.config.field import Option, declared_options
from tf_simclr.config.zoo import ZOO
from tf_simclr.errors import UserError, at_most

if TYPE_CHECKING:
    from tf_simclr.config.run import Config

_DOES = {
    "pretrain": "pretraining",
    "finetune": "fine-tuning",
    "distill": "distillation",
    "pipeline": "a pipeline",
}
# How alike a flag's name must be to that of the one that was meant.
_ALIKE = 0.8
# Flags without effect that are named where nothing is trained.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Unread:
    """A given flag that the mode in hand does not read.

    Attributes:
      option: the flag.
      value: what it was set to.
      shared: whether it was not set for this mode alone.
      why: completes "--flag ... has no effect".
    """

    option: Option
    value: Any
    shared: bool
    why: str


def unread_flags(config: "Config") -> list[Unread]:
    """The given flags that the mode in hand does not read.

    Those are left out whose value asks for no more than the mode does anyway.
    """
    mode = config.stage or config.run.mode
    # A name of the zoo is told by itself.
    implied = ZOO[config.model.model].flags if config.model.model else {}
    found = []
    for option in declared_options(type(config)):
        name, role = option.field.name, option.role
        value = option.value_in(config)
        nothing = value == option.field.default or (
            value == "" and option.field.default is None
        )
        if name not in config.given or name in implied or nothing:
            continue
        unmet = [needs for needs in role["needs"] if not needs.met(config)]
        if mode not in role["read_by"]:
            why = f"on {_doing(mode)}"
        elif unmet and mode != "pipeline":
            why = unmet[0].otherwise
        else:
            # In a pipeline each part may ask for it in flags of its own.
            continue
        if value in role["idle"]:
            continue
        # Where the original's spellings of the modes are used, a stage passes
        # over those of its flags that it does not read.
        shared = name in config.shared or (
            config.run.mode != mode and role["of_original"]
        )
        found.append(Unread(option, value, shared, why))
    return found


def check_read(config: "Config") -> None:
    """Refuses flags that were set for this mode and that it does not read.

    Raises:
      UserError: names the flag, who reads it, and the one that was meant.
    """
    mode = config.stage or config.run.mode
    for flag in unread_flags(config):
        if not flag.shared:
            raise UserError(_refusal(flag, mode, type(config)))


def ignored_line(config: "Config") -> str:
    """Says which flags are left out; '' if all are read."""
    names = [
        f"--{flag.option.field.name}"
        for flag in unread_flags(config)
        if flag.shared
    ]
    if not names:
        return ""
    mode = config.stage or config.run.mode
    # A recipe's flags of training need no list where nothing is trained.
    named = len(names) if mode in _DOES else _NAMED
    return f"Without effect on {_doing(mode)}: {at_most(named, names)}."


def _refusal(flag: Unread, mode: str, config_class: type) -> str:
    name, default = flag.option.field.name, flag.option.field.default
    read_by = flag.option.role["read_by"]
    way_out = f"leave it at {default}"
    if default is None or default == "":
        way_out = "leave it out"
    if mode in read_by:
        return (
            f"--{name} has no effect {flag.why}: {way_out}. Received:"
            f" {flag.value}"
        )
    meant = flag.option.role["instead"].get(mode) or _alike(
        name, mode, config_class
    )
    if meant:
        way_out += f", or give --{meant}"
    return (
        f"--{name} is for {_readers(read_by)} and has no effect {flag.why}:"
        f" {way_out}. Received: {flag.value}"
    )


def _alike(name: str, mode: str, config_class: type) -> str:
    """The flag that `mode` reads under a name like this one; '' for none."""
    names = [
        option.field.name
        for option in declared_options(config_class)
        if mode in option.role["read_by"]
    ]
    found = difflib.get_close_matches(name, names, 1, _ALIKE)
    return found[0] if found else ""


def _readers(read_by: frozenset[str]) -> str:
    modes = set(read_by)
    if {"pretrain", "finetune", "distill"} <= modes:
        modes -= {"pretrain", "finetune", "distill", "pipeline"}
        names = ["training"]
    else:
        stages = [mode for mode in _DOES if mode in modes]
        if len(stages) > 1 and "pipeline" in stages:
            # It reads what its stages do.
            stages.remove("pipeline")
        names = [_DOES[mode] for mode in stages]
    names += [_doing(mode) for mode in sorted(modes - set(_DOES))]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def _doing(mode: str) -> str:
    return _DOES.get(mode, f"--mode={mode}")
