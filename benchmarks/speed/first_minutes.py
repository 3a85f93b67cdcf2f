"""The first minutes of a user: a stage's first step, and a whole recipe.

    python benchmarks/speed/first_minutes.py --repeats=3

Runs the pretraining of the digits recipe for two steps, several times, and
notes when the start block and the first step's line appear. Then runs
`run.py --recipe=digits` once, and notes the same of each part, when its
training ends, and when the table appears. Prints two tables, and writes them
with all figures as OUTPUT.json.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.paths import ROOT
from benchmarks.lib.pinned import die_with_parent
from benchmarks.lib.recipe_runs import of_one_stage, recipe
from benchmarks.lib.results import this_command, write_results
from benchmarks.lib.spreads import median_and_range

RECIPE = "digits"
_START = re.compile(r"--- (\w+): (?:.*/)?(\S+)$")
_PROGRESS = re.compile(r"\w+ \d+/\d+  ")
_DONE = re.compile(r"\w+ done at step \d+")
_TABLE = re.compile(r"\| method ")


@dataclasses.dataclass
class Part:
    """Seconds of a stage, since the program started.

    Attributes:
      name: of its folder.
      block: its start block appeared.
      step: the line of its first step did.
      done: its last step was scored.
    """

    name: str
    block: float
    step: float | None = None
    done: float | None = None


@dataclasses.dataclass
class Timeline:
    """A run of the program.

    Attributes:
      parts: its stages, in order.
      table: seconds until the table of a pipeline; None without.
      end: seconds until the program ended.
    """

    parts: list[Part]
    table: float | None
    end: float


def timeline(lines: Iterable[tuple[float, str]], end: float) -> Timeline:
    """Reads what a run has printed.

    Args:
      lines: (seconds since the start, line).
      end: seconds until the program ended.
    """
    found = Timeline([], None, end)
    for seconds, line in lines:
        if start := _START.match(line):
            found.parts.append(Part(start[2], seconds))
        elif not found.parts:
            continue
        elif _PROGRESS.match(line) and found.parts[-1].step is None:
            found.parts[-1].step = seconds
        elif _DONE.match(line):
            found.parts[-1].done = seconds
        elif _TABLE.match(line):
            found.table = seconds
    return found


def run(*flags: str) -> Timeline:
    """Runs the program to its end.

    Raises:
      CalledProcessError: it fails.
    """
    started = time.monotonic()
    command = [sys.executable, "-u", str(ROOT / "run.py"), *flags]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=die_with_parent,
    ) as process:
        lines = [
            (time.monotonic() - started, line.rstrip("\n"))
            for line in process.stdout
        ]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return timeline(lines, time.monotonic() - started)


def first_step(folder: str) -> Timeline:
    """Two steps of the recipe's pretraining in a new folder."""
    return run(
        *of_one_stage("pretrain", recipe(f"{RECIPE}.cfg")),
        "--mode=pretrain",
        "--train_steps=2",
        "--warmup_epochs=0",
        "--noexport",
        f"--model_dir={folder}",
    )


def stage_table(runs: list[dict]) -> str:
    """Markdown: the seconds of single stages until their first step."""
    return "\n".join(
        [
            "| until | seconds |",
            "|---|---:|",
            "| the start block (imports, data, network) |"
            f" {median_and_range([x['block'] for x in runs])} |",
            "| the first step's line (tracing, views, the step) |"
            f" {median_and_range([x['step'] for x in runs])} |",
        ]
    )


def recipe_table(found: dict) -> str:
    """Markdown: the parts of a recipe, with the seconds of each."""
    lines = [
        "| part | before its start block | until the first step | training and"
        " score | until |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [f"| {' | '.join(row)} |" for row in _rows(found)]
    return "\n".join(lines)


def _rows(found: dict) -> Iterator[tuple[str, ...]]:
    before = 0.0
    for part in found["parts"]:
        block, step, done = (part[key] for key in ("block", "step", "done"))
        spans = block - before, step - block, done - step, done
        yield (part["name"], *(f"{span:.1f}" for span in spans))
        before = done
    yield (
        "table and report",
        f"{found['end'] - before:.1f}",
        *("", ""),
        f"{found['end']:.1f}",
    )


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default="runs/first_minutes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stages = [
            first_step(os.path.join(folder, str(number)))
            for number in range(arguments.repeats)
        ]
        whole = run(
            f"--recipe={RECIPE}",
            f"--model_dir={os.path.join(folder, RECIPE)}",
        )
    results = {
        "command": this_command(),
        "hardware": hardware(),
        "first_step": [dataclasses.asdict(x.parts[0]) for x in stages],
        "recipe": dataclasses.asdict(whole),
    }
    tables = stage_table(results["first_step"]), recipe_table(results["recipe"])
    markdown = "\n\n".join(tables)
    write_results(arguments.output, results, f"{markdown}\n")
    print(markdown)


if __name__ == "__main__":
    main()
