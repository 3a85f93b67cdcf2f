"""Scores that several processes write, a JSON line each."""

import json
import pathlib


def read_scores(folder: pathlib.Path) -> list[dict]:
    """All lines of its files scores-JOB.jsonl."""
    return [
        json.loads(line)
        for path in sorted(folder.glob("scores-*.jsonl"))
        for line in path.read_text().splitlines()
    ]
