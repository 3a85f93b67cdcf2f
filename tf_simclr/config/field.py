"""Dataclass fields that describe a flag: help, choices, bounds, roles.

A role stands with the option that has it, so that a new option cannot be
forgotten in a list elsewhere.

A field made by `option` is the single source of a flag's name (the field's
name), type (its annotation), default and help text. `tf_simclr.cli` derives
the flags from these fields, and `check_fields` enforces the bounds wherever a
configuration is built, also from a notebook.
"""

import dataclasses
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal

from tf_simclr.errors import UserError

# What a resumed run does about another value. fixed: it is another run, and
# refused. told: the result is another one, so that a line says it. free: the
# result is the same, or what it leads to is compared itself (images by their
# ids, weights by their content, epochs by their steps).
OnResume = Literal["fixed", "told", "free"]

# Readers: the modes, `train` and `train_then_eval` as the stage that they run.
PRETRAIN = frozenset({"pretrain", "pipeline"})
FINETUNE = frozenset({"finetune", "pipeline"})
DISTILL = frozenset({"distill", "pipeline"})
PIPELINE = frozenset({"pipeline"})
# The stages.
TRAINING = PRETRAIN | FINETUNE | DISTILL
# Modes that read a network back.
LOADING = frozenset({"eval", "embed", "export", "predict", "suggest"})
PREVIEW = frozenset({"preview"})
# Modes that open the images of --dataset; an export in int8 is among them.
IMAGES = (
    TRAINING
    | PREVIEW
    | {
        *("eval", "embed", "export", "suggest", "label"),
    }
)
# Those among them that open the training and the evaluation split.
SPLITS = TRAINING | PREVIEW | {"eval"}
# Modes whose devices can be chosen.
DEVICES = TRAINING | {"eval"}
WRITING = TRAINING | LOADING | PREVIEW
EVERYTHING = WRITING | {"zoo", "label", "runs"}


@dataclasses.dataclass(frozen=True)
class Needs:
    """A condition under which an option is read.

    Attributes:
      otherwise: completes "has no effect ...", such as "without --memory_size".
      met: from the whole configuration, True if the option is read.
    """

    otherwise: str
    met: Callable[[Any], bool]


# No use comes near them. Below them, products that a run computes (images
# seen, which are epochs times images or steps times batch) fit the 64-bit
# integers in which TensorFlow counts.
MAX_EPOCHS = 10**9
MAX_STEPS = 10**12
MAX_BATCH = 2**20
# NumPy's legacy generator, which Keras seeds, takes 32 bits.
MAX_SEED = 2**32 - 1


# TensorFlow counts in 64-bit integers. An option that is multiplied with
# others needs a lower `maximum` of its own.
_LARGEST_INTEGER = 2**63 - 1
# Smallest number that float32 does not take for 0, and its largest one.
_SMALLEST, _LARGEST = 1.2e-38, 3.4e38
# What an option takes, by its type.
_KINDS = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
}


def option(
    default: Any,
    help_text: str,
    *,
    choices: Collection[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    path: bool | Literal["or_name", "several"] = False,
    of_original: bool = False,
    hparam: bool = False,
    describes: str | None = None,
    chooses_images: bool = False,
    divides_images: bool = False,
    identifies_score: bool | Callable[[Any], bool] = False,
    recipe: bool = True,
    on_resume: OnResume,
    read_by: frozenset[str],
    instead: Mapping[str, str] | None = None,
    idle: tuple[Any, ...] = (),
    needs: Needs | tuple[Needs, ...] = (),
    earlier: Any = None,
) -> Any:
    """A dataclass field that is also a command-line flag.

    Args:
      default: the flag's default.
      help_text: one or two sentences for `--helpfull`.
      choices: the values an enum flag may take; may grow until the flags are
        read.
      minimum: smallest allowed number (inclusive).
      maximum: largest allowed number (inclusive).
      above: exclusive lower bound.
      path: whether it names a file or folder, which is stored as an absolute
        path; `or_name`: or a data set of a catalogue; `several`: with commas.
      of_original: whether the original's TF1 or TF2 release takes it, which
        does so in every mode.
      hparam: whether it is a column of TensorBoard's HParams tab.
      describes: the field of `Architecture` that it decides.
      chooses_images: whether it decides which images a run learns from.
      divides_images: whether it is about how a data set is divided.
      identifies_score: whether it decides which images are scored, and with
        which labels; or a function of the whole configuration that says so.
      recipe: whether the command in a model card names it. Those that only
        say what to do, and where, are left out.
      on_resume: what a resumed run does about another value.
      read_by: the modes that read it; no other takes it.
      instead: {mode that does not read it: the flag that was meant there}.
      idle: values beside the default that ask for nothing, so that a mode
        that does not read the flag does as they say.
      needs: what else it takes for the flag to be read; of several conditions
        all.
      earlier: what runs did before the option came, where that is not the
        default: a run whose record lacks the flag goes on so.

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
        "of_original": of_original,
        "hparam": hparam,
        "describes": describes,
        "chooses_images": chooses_images,
        "divides_images": divides_images,
        "identifies_score": identifies_score,
        "recipe": recipe,
        "on_resume": on_resume,
        "read_by": read_by,
        "instead": instead or {},
        "idle": idle,
        "needs": (needs,) if isinstance(needs, Needs) else needs,
        "earlier": earlier,
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


@dataclasses.dataclass(frozen=True)
class Option:
    """One flag: where it lives in the configuration, and its field."""

    group: str
    field: dataclasses.Field

    @property
    def type(self) -> type:
        """The plain type of its values."""
        return value_type(self.field.type)

    @property
    def role(self) -> Mapping[str, Any]:
        """The roles that its `option` declares."""
        return self.field.metadata

    def value_in(self, config: Any) -> Any:
        """Its value in a whole configuration."""
        return getattr(getattr(config, self.group), self.field.name)


def declared_options(config_class: type) -> Iterator[Option]:
    """Every option of a whole configuration, in the order of declaration."""
    for group in dataclasses.fields(config_class):
        if not dataclasses.is_dataclass(group.type):
            continue
        for field in dataclasses.fields(group.type):
            if "help" in field.metadata:
                yield Option(group.name, field)


def check_fields(config: Any) -> None:
    """Checks every option of a dataclass: type, choices and bounds.

    Numbers of NumPy and paths of pathlib become plain ones, which
    `config.json` can hold.

    Raises:
      UserError: names the flag, the bound and the value received.
    """
    for field in dataclasses.fields(config):
        if "help" not in field.metadata:
            continue
        value = getattr(config, field.name)
        if value is None and isinstance(field.type, types.UnionType):
            continue
        plain = _plain(field.name, value, value_type(field.type))
        if plain is not value:
            # The dataclass is frozen for everybody else.
            object.__setattr__(config, field.name, plain)
        _check_value(field, plain)


def _plain(name: str, value: Any, kind: type) -> Any:
    """The value as a `bool`, `int`, `float` or `str`."""
    if kind is str and isinstance(value, os.PathLike):
        value = os.fspath(value)
    elif isinstance(value, bool):
        pass  # Of Python's integers, but no number.
    elif kind is int and isinstance(value, numbers.Integral):
        value = int(value)
    elif kind is float and isinstance(value, numbers.Real):
        try:
            value = float(value)
        except OverflowError:
            value = math.copysign(math.inf, value)
    if isinstance(value, bool) != (kind is bool) or not isinstance(value, kind):
        raise UserError(f"--{name} must be {_KINDS[kind]}. Received: {value!r}")
    return value


def _check_value(field: dataclasses.Field, value: Any) -> None:
    name, metadata = field.name, field.metadata
    choices = metadata["choices"]
    if choices is not None and value not in choices:
        raise UserError(
            f"--{name} must be one of {', '.join(choices)}. Received: {value}"
        )
    if isinstance(value, str):
        # A variable of the shell that is not set is no choice of "nothing".
        if not value.strip() and field.default != "":
            raise UserError(
                f"--{name} is empty: give it a value, or leave it out."
                f" Received: {value!r}"
            )
        return
    if isinstance(value, bool):
        return
    if value != value:
        raise UserError(f"--{name} must be a number. Received: {value}")
    if math.isinf(value):
        raise UserError(f"--{name} must be finite. Received: {value}")
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
    if maximum is None:
        maximum = _LARGEST_INTEGER if isinstance(value, int) else _LARGEST
    if maximum is not None and value > maximum:
        raise UserError(
            f"--{name} must be at most {maximum}. Received: {value}"
        )
    if 0 < abs(value) < _SMALLEST:
        raise UserError(
            f"--{name} is too small: float32 takes less than {_SMALLEST} for 0."
            f" Received: {value}"
        )
