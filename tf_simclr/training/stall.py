"""Time of a step: the first one, and one that never ends.

TensorFlow retries what it cannot reach for an hour or for ever, and says so
only in its own log.
"""

import contextlib
import os
import pathlib
import threading
import time
from collections.abc import Iterator

from tf_simclr.process import once_per_process
from tf_simclr.progress import complain, say

_PROCESS = pathlib.Path("/proc/self/stat")


@once_per_process
def note_first_step() -> None:
    """Prints the age of the process; once, at its first step."""
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


# Seconds without an answer until a notice, and until the process ends; both
# are longer where steps are.
NOTICE = 60.0
END = 600.0
_SLOWER = 10.0
_LOOK_EVERY = 0.5
# The most that counts between two looks. A longer gap means that the process
# itself was suspended (Ctrl-Z, a scheduler, `docker pause`).
_LONGEST_LOOK = 2 * _LOOK_EVERY


class StallWatch:
    """Watches calls that take steps, from a thread of its own.

    The first call is not watched: compilation may take any time.
    """

    def __init__(self) -> None:
        self._slowest: float | None = None
        self._since: float | None = None
        # Seconds that this process was awake, and the clock at that look.
        self._looked = (0.0, time.monotonic())
        self._closed = threading.Event()

    def __enter__(self) -> "StallWatch":
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._closed.set()

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Around a call."""
        started = self._awake()
        if self._slowest is not None:
            self._since = started
        try:
            yield
        finally:
            self._since = None
            seconds = self._awake() - started
            # The first call says little about the others.
            first = self._slowest is None
            self._slowest = 0.0 if first else max(self._slowest, seconds)

    def _awake(self) -> float:
        """Seconds that this process has not been suspended for."""
        awake, at = self._looked
        return awake + min(time.monotonic() - at, _LONGEST_LOOK)

    def _watch(self) -> None:
        told = None
        while not self._closed.wait(_LOOK_EVERY):
            self._looked = (self._awake(), time.monotonic())
            since = self._since
            if since is None:
                continue
            waited = self._looked[0] - since
            usual = _SLOWER * (self._slowest or 0.0)
            if waited >= max(END, usual):
                complain(
                    f"No step has ended for {waited:.0f} seconds: the images'"
                    " disk, an input worker or another process of this job is"
                    " gone. The last checkpoint is untouched; the same command"
                    " continues from it."
                )
                os._exit(1)
            if waited >= max(NOTICE, usual) and told != since:
                told = since
                complain(
                    f"No step has ended for {waited:.0f} seconds: waiting for"
                    " the images' disk, an input worker or another process of"
                    f" this job; giving up after {max(END, usual):.0f} seconds."
                )
