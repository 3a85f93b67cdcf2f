"""Files that benchmarks write, and those of them that docs are made from."""

import functools
import json
import pathlib
import sys
from typing import Any

from benchmarks.lib.paths import RESULTS


@functools.cache
def stored_results(name: str) -> Any:
    """Contents of `benchmarks/results/`: NAME.json, or NAME.jsonl's lines."""
    path = RESULTS / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text())
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def write_results(output: str, results: Any, markdown: str) -> None:
    """Writes OUTPUT.json and OUTPUT.md; makes their folder if need be."""
    path = pathlib.Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(results, indent=2))
    path.with_suffix(".md").write_text(markdown)


def this_command() -> str:
    """The command line of this process, as one would type it."""
    return " ".join(["python", *sys.argv])
