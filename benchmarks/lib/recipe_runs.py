"""Runs of run.py with a recipe, each in a process of its own."""

import json
import pathlib
import shlex
import subprocess
import sys

from benchmarks.lib.paths import ROOT
from benchmarks.lib.pinned import die_with_parent
from tf_simclr import cli


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


def read_result(folder: pathlib.Path) -> dict[str, float]:
    """The `result.json` of a finished run."""
    return json.loads((folder / "result.json").read_text())


def top_1(folder: pathlib.Path) -> float:
    """Top-1 accuracy of a finished run of one stage."""
    return read_result(folder)["eval/label_top_1_accuracy"]
