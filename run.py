"""The command line: parses flags, builds the configuration, calls one mode.

`python run.py --help` lists the modes, `--helpfull` every flag.
"""

import functools
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from tf_simclr.config import Config
from tf_simclr.config.compat import WITHOUT_MEANING
from tf_simclr.config.flat import Option, from_flat, options
from tf_simclr.config.zoo import zoo_table
from tf_simclr.errors import DataFailed, ExportFailed, UserError

USAGE = """\
SimCLRv2: many images, few labels, one small accurate classifier.

  python run.py --flagfile=flags/digits.cfg       all stages on embedded data
  python run.py --mode=pretrain --dataset=DATA --model_dir=runs/pretrained
  python run.py --mode=finetune --checkpoint=runs/pretrained --dataset=DATA \\
      --labels_per_class=10 --ft_proj_selector=1 --model_dir=runs/finetuned
  python run.py --mode=distill --teacher=runs/finetuned --dataset=DATA \\
      --resnet_depth=18 --model_dir=runs/student

A flag file (--flagfile=FILE) holds one flag per line; flags after it on the
command line win. --helpfull explains every flag.
"""

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
    values, rest = _parsed(argv)
    if any(values[name].value for name in _HELP_FLAGS):
        print(USAGE)
        if values["helpfull"].value:
            print(help_text())
        return None
    if rest:
        raise UserError(
            "Flags are written --name=value; this is none. Received:"
            f" {' '.join(rest)}"
        )
    given = {
        option.field.name: values[option.field.name].value
        for option in options()
        if values[option.field.name].present
    }
    return from_flat(given, shared=given.keys() - _own_flags(argv))


def _own_flags(argv: Sequence[str]) -> set[str]:
    """The flags that stand on the command line itself: what several modes
    read from a file need not all be for this one."""
    values = _flag_values()
    # Its flag files may have allowed what is none of the flags.
    values(_without_flag_files(argv), known_only=True)
    return {name for name in values if values[name].present}


def _parsed(argv: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """The flags of a command line, and what is none."""
    values = _flag_values()
    try:
        return values, values(argv)[1:]
    except (flags.Error, OSError) as error:
        raise UserError(f"{error} (see --helpfull)") from error


def _flag_values() -> flags.FlagValues:
    values = flags.FlagValues()
    define_flags(values)
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
    mode = config.stage or config.run.mode
    alone = config.cluster is not None and not config.works_together
    if alone and not config.cluster.is_chief:
        print(f"--mode={mode} is the chief's work: nothing to do here.")
        return 0
    if not config.train.jit_compile:
        compile_views_only()
    # Only what a mode needs is imported, and TensorFlow only from here on.
    import_tensorflow()
    if config.stage:
        from tf_simclr.modes.execute import run_stage as function
    elif mode == "pipeline":
        from tf_simclr.modes.pipeline import pipeline as function
    elif mode == "embed":
        from tf_simclr.modes.embed import embed as function
    elif mode == "export":
        from tf_simclr.modes.export import export as function
    elif mode == "predict":
        from tf_simclr.modes.predict import predict as function
    elif mode == "preview":
        from tf_simclr.modes.preview import preview as function
    else:
        from tf_simclr.modes.evaluate import evaluate as function
    from tf_simclr.training.workers import run_on_workers

    return exit_code(functools.partial(run_on_workers, function), config)


def exit_code(function: Callable[[Config], Any], config: Config) -> int:
    """Calls a mode; says in one sentence why it ended early, if it did."""
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
    except (TrainingFailed, DataFailed, ExportFailed) as error:
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


def compile_views_only() -> None:
    """Says to XLA, before TensorFlow starts, that it compiles nothing else.

    Each thread makes some views: to split the work on one as well only costs.
    """
    os.environ.setdefault(
        "XLA_FLAGS", "--xla_disable_hlo_passes=cpu-parallel-task-assigner"
    )


def import_tensorflow() -> None:
    """Imports TensorFlow without the notices that its C++ parts print.

    They go to the process's standard error before any log level applies.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    standard_error = os.dup(2)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            import tensorflow as tf

            # Looking for GPUs prints as much where there is none.
            tf.config.list_physical_devices()
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        config = parse_config(list(sys.argv if argv is None else argv))
        if config is not None:
            return run_mode(config)
    except UserError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
