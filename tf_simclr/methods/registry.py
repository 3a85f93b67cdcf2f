"""Finding the class of a method by its name."""

import dataclasses
import importlib
import shlex
from typing import Any

from tf_simclr.config.field import check_fields, value_type
from tf_simclr.config.methods import MethodEntry, method_entry, trains
from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.methods.base import Method
from tf_simclr.metrics import Metric
from tf_simclr.process import importing_from_here
from tf_simclr.training.run_record import RunRecord


def method_of(config: Config) -> type[Method]:
    """The class of the method that a configuration names.

    Raises:
      UserError: a method of somebody's own cannot be imported, is of another
        stage, or is no method; or it does not have one of `--method_options`.
    """
    entry = method_entry(config.objective.method, config.stage)
    try:
        found = _imported(entry)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"--method={config.objective.method} cannot be imported: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise UserError(
            f"--method={config.objective.method} is no subclass of"
            f" tf_simclr.methods.base.Method. Received: {found!r}"
        )
    if found.stage != config.stage:
        raise UserError(
            f"--method={config.objective.method} is for the stage"
            f" '{found.stage}'. Received: --mode={config.run.mode}"
        )
    if trains(config.objective.method, config.stage):
        # Refuses those that it does not have.
        method_options(found, config.objective.method_options)
    return found


def method_options(method: type[Method], text: str) -> Any:
    """The options of a method, as `--method_options` sets them.

    Args:
      method: its `Options` is a frozen dataclass of `option` fields, or None.
      text: NAME=VALUE, separated by spaces.

    Returns:
      An instance of `Options`; None where the method has none.

    Raises:
      UserError: an option that it does not have, or an unreadable value.
    """
    known = {}
    if method.Options is not None:
        known = {f.name: f for f in dataclasses.fields(method.Options)}
    values = {}
    for word in _words(text):
        name, equals, value = word.partition("=")
        if name not in known or not equals:
            has = ", ".join(f"{n}={f.default}" for n, f in known.items())
            raise UserError(
                "--method_options holds options of the method as NAME=VALUE,"
                f" separated by spaces; this one has {has or 'none'}."
                f" Received: {word}"
            )
        try:
            values[name] = _parsed(value, value_type(known[name].type))
        except ValueError as error:
            raise UserError(
                f"--method_options: {name} takes a value like"
                f" {known[name].default}. Received: {word}"
            ) from error
    if method.Options is None:
        return None
    options = method.Options(**values)
    try:
        check_fields(options)
    except UserError as error:
        # They are not flags.
        text = str(error).removeprefix("--")
        raise UserError(f"--method_options: {text}") from error
    return options


def metrics_of(record: RunRecord) -> tuple[Metric, ...]:
    """All metrics that a run may have logged, its own loss first.

    Args:
      record: what its `config.json` holds.
    """
    name = record.config.get("method")
    try:
        method = _imported(method_entry(name, record.stage))
    except (ImportError, AttributeError):
        # A method of somebody's own, of which nothing more is known here.
        method = _imported(method_entry(None, record.stage))
    return (*method.metrics, *method.scores)


def _imported(entry: MethodEntry) -> Any:
    module, _, attribute = entry.path.partition(":")
    if entry.stage:
        module = f"tf_simclr.methods.{module}"
        return getattr(importlib.import_module(module), attribute)
    with importing_from_here():
        return getattr(importlib.import_module(module), attribute)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UserError(
            f"--method_options cannot be read: {error}. Received: {text}"
        ) from error


def _parsed(value: str, kind: type) -> Any:
    if kind is bool:
        truth = {"true": True, "1": True, "false": False, "0": False}
        if value.lower() not in truth:
            raise ValueError(value)
        return truth[value.lower()]
    return kind(value)
