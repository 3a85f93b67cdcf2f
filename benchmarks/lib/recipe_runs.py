"""Runs of run.py with a recipe, each in a process of its own."""

import dataclasses
import json
import pathlib
import shlex
import subprocess
import sys

from benchmarks.lib.paths import ROOT
from benchmarks.lib.pinned import die_with_parent
from tf_simclr import cli
from tf_simclr.config.pipeline import PipelineConfig


def recipe(name: str) -> str:
    """The flag that names a recipe of `flags/`."""
    return f"--flagfile={ROOT / 'flags' / name}"


def run_program(*flags: str) -> None:
    """Runs run.py to its end; CalledProcessError if it fails."""
    command = [sys.executable, str(ROOT / "run.py"), *flags]
    subprocess.run(command, check=True, preexec_fn=die_with_parent)


def stage_flags(stage: str, *flags: str) -> list[str]:
    """The flags that a recipe has for one stage of its pipeline.

    Args:
      stage: as in --STAGE_flags.
      flags: the recipe's, and others.
    """
    config = cli.parse_config(["run.py", *flags])
    return shlex.split(getattr(config.pipeline, f"{stage}_flags"))


def of_one_stage(stage: str, *flags: str) -> list[str]:
    """Flags of a pipeline as those of a run of one of its stages.

    Args:
      stage: as in --STAGE_flags.
      flags: the recipe's, and others as --NAME=VALUE; what only a pipeline
        reads is left out.
    """
    names = {field.name for field in dataclasses.fields(PipelineConfig)}
    switches = {f"no{name}" for name in names}

    def name(flag: str) -> str:
        return flag.partition("=")[0].removeprefix("--")

    kept = [flag for flag in flags if name(flag) not in names | switches]
    return [*kept, *stage_flags(stage, *flags)]


def read_result(folder: pathlib.Path) -> dict[str, float]:
    """The `result.json` of a finished run."""
    return json.loads((folder / "result.json").read_text())


def top_1(folder: pathlib.Path) -> float:
    """Top-1 accuracy of a finished run of one stage."""
    return read_result(folder)["eval/label_top_1_accuracy"]
