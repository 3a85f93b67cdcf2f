"""A measurement in a process of its own, whose memory is its own."""

import json
import subprocess
import sys


def measured_apart(script: str, *words: str) -> dict[str, float]:
    """The figures that a script prints as JSON in its last line.

    Args:
      script: its path.
      words: its arguments.
    """
    done = subprocess.run(
        [sys.executable, script, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])
