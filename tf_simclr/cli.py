"""The command line: parses flags, builds the configuration, calls one mode.

`--help` lists the modes, `--helpfull` every flag.
"""

import functools
import importlib
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from absl import flags

from tf_simclr import process
from tf_simclr.config import Config
from tf_simclr.config.compat import WITHOUT_MEANING
from tf_simclr.config.flat import (
    Option,
    from_flat,
    options,
    without_flag_files,
)
from tf_simclr.config.lr_find import LR_FIND
from tf_simclr.config.run import STAGES
from tf_simclr.config.zoo import zoo_table
from tf_simclr.errors import (
    DataFailed,
    ExportFailed,
    StorageFailed,
    UserError,
)
from tf_simclr.recipes import recipes, with_recipes

_USAGE = """\
SimCLRv2: many images, few labels, one small accurate classifier.

  {command} --recipe=digits       all stages on embedded data
  {command} --mode=pretrain --dataset=DATA --model_dir=runs/pretrained
  {command} --mode=finetune --checkpoint=runs/pretrained --dataset=DATA \\
      --labels_per_class=10 --ft_proj_selector=1 --model_dir=runs/finetuned
  {command} --mode=distill --teacher=runs/finetuned --dataset=DATA \\
      --resnet_depth=18 --model_dir=runs/student

Few labels? Let the pretrained network choose the images, and label them:
  {command} --mode=suggest --checkpoint=runs/pretrained --dataset=DATA \\
      --label_budget=40 --model_dir=runs/labels
  {command} --mode=label --model_dir=runs/labels

A flag file (--flagfile=FILE) holds one flag per line; flags beside it on the
command line win. --recipe=NAME takes one that comes with the program:
{recipes}
--mode is one of
{modes}
--helpfull explains every flag; docs/ has a page for each question.
"""

# Mode -> module and function. Only what a mode needs is imported.
_MODES = {
    **dict.fromkeys(STAGES, "tf_simclr.modes.execute:run_stage"),
    "pipeline": "tf_simclr.modes.pipeline:pipeline",
    "eval": "tf_simclr.modes.evaluate:evaluate",
    "embed": "tf_simclr.modes.embed:embed",
    "export": "tf_simclr.modes.export:export",
    "predict": "tf_simclr.modes.predict:predict",
    "preview": "tf_simclr.modes.preview:preview",
    "suggest": "tf_simclr.modes.suggest:suggest",
    "label": "tf_simclr.modes.label:label",
    "runs": "tf_simclr.modes.runs:runs",
    LR_FIND: "tf_simclr.modes.lr_find:lr_find",
}
_HELP_FLAGS = ("help", "helpshort", "helpfull")


def define_flags(values: flags.FlagValues) -> None:
    """Derives one absl flag from each option of the configuration."""
    for option in options():
        _define(option, values)
    for name in _HELP_FLAGS:
        flags.DEFINE_boolean(name, False, "Show help.", flag_values=values)


def _define(option: Option, values: flags.FlagValues) -> None:
    field = option.field
    name, default, text = field.name, field.default, field.metadata["help"]
    choices = field.metadata["choices"]
    if choices is not None:
        flags.DEFINE_enum(name, default, choices, text, flag_values=values)
    else:
        define = {
            bool: flags.DEFINE_boolean,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            str: flags.DEFINE_string,
        }[option.type]
        define(name, default, text, flag_values=values)


def parse_config(argv: Sequence[str]) -> Config | None:
    """The configuration that a command line asks for; None if it wants help.

    Raises:
      UserError: an unknown flag, or a value that cannot be.
    """
    argv = with_recipes(argv)
    values, rest = _parsed(argv)
    if any(values[name].value for name in _HELP_FLAGS):
        print(usage())
        if values["helpfull"].value:
            print(help_text())
        return None
    if values["recipe"].present:
        raise UserError(
            "--recipe stands on the command line, not in a flag file. Received:"
            f" --recipe={values['recipe'].value}"
        )
    if rest:
        raise UserError(
            "Flags are written --name=value; this word is not a flag. Received:"
            f" {' '.join(rest)}"
        )
    given = {
        option.field.name: values[option.field.name].value
        for option in options()
        if values[option.field.name].present
    }
    return from_flat(given, shared=given.keys() - _own_flags(argv))


def _own_flags(argv: Sequence[str]) -> set[str]:
    """Names of the flags on the command line itself; flags of a flag file
    may be meant for other modes."""
    values = _flag_values()
    # Its flag files may have allowed what is none of the flags.
    values(_without_flag_files(argv), known_only=True)
    return {name for name in values if values[name].present}


def _parsed(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """Flags of a command line, and its other words."""
    values = _flag_values()
    try:
        words = without_flag_files(argv[1:])
        return values, values([argv[0], *words])[1:]
    except flags.Error as error:
        raise UserError(f"{error} (see --helpfull)") from error


def _flag_values() -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(values)
    # Known here so that a misspelt one is suggested.
    flags.DEFINE_string("recipe", None, "Recipe.", flag_values=values)
    # --flagfile and --undefok live in absl's global flags.
    flags.DEFINE_string("flagfile", "", "Flag file.", flag_values=values)
    flags.DEFINE_string("undefok", "", "Flags to ignore.", flag_values=values)
    return values


def _without_flag_files(argv: Sequence[str]) -> list[str]:
    """A command line without its `--flagfile=FILE` and `--flagfile FILE`."""
    kept, words = [], iter(argv)
    for word in words:
        name, equals, _ = word.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            kept.append(word)
        elif not equals:
            next(words, None)
    return kept


def usage() -> str:
    """The commands of the three stages, and the names of recipes and modes."""
    (mode,) = (each for each in options() if each.field.name == "mode")
    return _USAGE.format(
        command=process.command(),
        recipes=_listed(recipes()),
        modes=_listed(mode.field.metadata["choices"]),
    )


def _listed(names: Iterable[str]) -> str:
    """Names, indented and broken into lines."""
    return textwrap.fill(
        ", ".join(names),
        width=78,
        initial_indent="  ",
        subsequent_indent="  ",
    )


def help_text() -> str:
    """Every flag with its default and its help, grouped as the
    configuration is."""
    lines: list[str] = []
    group = ""
    for option in options():
        if option.group != group:
            group = option.group
            title = Config.__dataclass_fields__[group].type.__doc__
            lines += [f"{title.splitlines()[0]}", ""]
        field = option.field
        kind = "|".join(field.metadata["choices"] or (option.type.__name__,))
        default = "" if field.default is None else f" = {field.default!r}"
        lines.append(f"  --{field.name} ({kind}){default}")
        lines += textwrap.wrap(
            field.metadata["help"],
            width=78,
            initial_indent="      ",
            subsequent_indent="      ",
        )
        lines.append("")
    return "\n".join(lines)


def run_mode(config: Config) -> int:
    """Calls the mode that the configuration names; returns the exit code."""
    config.check()
    if config.run.mode == "zoo":
        print(zoo_table())
        return 0
    for flag, reason in WITHOUT_MEANING.items():
        if flag in config.given:
            print(f"--{flag} no longer means anything: {reason}.")
    if config.ignored:
        print(config.ignored)
    mode = config.run.mode
    if mode != LR_FIND:
        mode = config.stage or mode
    alone = config.cluster is not None and not config.works_together
    if alone and not config.cluster.is_chief:
        print(f"--mode={mode} is the chief's work: nothing to do here.")
        return 0
    if not config.train.jit_compile:
        process.compile_views_only()
    process.import_tensorflow()
    from tf_simclr.storage.staged import with_local_files
    from tf_simclr.training.workers import run_on_workers

    function = functools.partial(run_on_workers, _function(mode))
    return exit_code(functools.partial(with_local_files, function), config)


def _function(mode: str) -> Callable[[Config], Any]:
    module, _, name = _MODES[mode].partition(":")
    return getattr(importlib.import_module(module), name)


def exit_code(function: Callable[[Config], Any], config: Config) -> int:
    """Calls a mode; prints one sentence if it ended early; returns the exit
    code."""
    from tf_simclr.progress import complain
    from tf_simclr.signals import (
        Interrupted,
        Terminated,
        TrainingFailed,
        signals_terminate,
    )
    from tf_simclr.training.failures import explain, memory_explained
    from tf_simclr.training.workers import WorkerLost

    try:
        with signals_terminate(), memory_explained(config):
            function(config)
    except WorkerLost as error:
        complain(error)
        return os.EX_TEMPFAIL
    except (
        TrainingFailed,
        DataFailed,
        ExportFailed,
        StorageFailed,
    ) as error:
        complain(error)
        return 1
    except (Interrupted, Terminated) as error:
        complain(error)
        return 128 + error.signal_number
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        complain(sentence)
        return 1
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    argv = list(sys.argv if argv is None else argv)
    process.set_program(argv[0])
    try:
        config = parse_config(argv)
        if config is not None:
            return run_mode(config)
    except UserError as error:
        print(f"{process.program()}: {error}", file=sys.stderr)
        return 2
    return 0
