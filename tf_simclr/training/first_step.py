"""How long a user waits for the first step."""

import os
import pathlib
import time

from tf_simclr.process import once_per_process
from tf_simclr.training.progress import say

_PROCESS = pathlib.Path("/proc/self/stat")


@once_per_process
def note_first_step() -> None:
    """Says how old the process is; once, at its first step."""
    age = process_age()
    if age is not None:
        say(f"seconds_to_first_step {age:.1f} (since the process started)")


def process_age() -> float | None:
    """Seconds since this process started; None where Linux does not tell."""
    if not _PROCESS.exists():
        return None
    # Fields follow the program's name, which is in parentheses; the 20th of
    # them is the start in clock ticks since boot.
    fields = _PROCESS.read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
