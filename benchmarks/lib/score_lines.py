"""Scores that several processes write, a JSON line each."""

import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Sequence

from benchmarks.lib.pinned import run_pinned


def read_scores(folder: pathlib.Path) -> list[dict]:
    """All lines of its files scores-JOB.jsonl."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("scores-*.jsonl"))
        for line in path.read_text().splitlines()
    ]


def run_folder(output: pathlib.Path, item: dict) -> pathlib.Path:
    """Folder of the runs of an item, whatever other items there are."""
    text = json.dumps(item, sort_keys=True)
    return output / hashlib.sha256(text.encode()).hexdigest()[:16]


def score_missing(
    items: Sequence[dict],
    score: Callable[[dict, pathlib.Path], dict[str, float | list[float]]],
    output: pathlib.Path,
    jobs: int,
) -> bool:
    """Scores the items that have no line yet.

    Args:
      items: what names a line each.
      score: given an item and the folder for its runs, the accuracies that
        are added to its line.
      output: the folder of scores-JOB.jsonl; made if need be.
      jobs: processes that share the items, each on its part of the cores.

    Returns:
      Whether all came to their end.
    """
    output.mkdir(parents=True, exist_ok=True)
    lines = read_scores(output)
    missing = [
        item
        for item in items
        if not any(item.items() <= line.items() for line in lines)
    ]

    def share(job: int) -> None:
        for item in missing[job::jobs]:
            started = time.monotonic()
            line = {**item, **score(item, run_folder(output, item))}
            line["seconds"] = round(time.monotonic() - started)
            with (output / f"scores-{job}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    return run_pinned(share, jobs)
