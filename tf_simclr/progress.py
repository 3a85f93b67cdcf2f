"""Lines that a user sees while a stage runs."""

import contextlib
import errno
import os
import sys
import time

from tf_simclr.process import once_per_process, program

# A line at least this often, counted in seconds.
INTERVAL = 10.0


def say(text: str) -> None:
    """Prints a line at once.

    A terminal that has closed ends no run: what is said after it is lost.
    """
    try:
        print(text, flush=True)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        # Held open until the process ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def complain(text: object) -> None:
    """Prints on standard error why the program ends; a closed stream is no
    error."""
    with contextlib.suppress(OSError):
        print(f"{program()}: {text}", file=sys.stderr, flush=True)


@once_per_process
def say_once(text: str) -> None:
    """Prints a text the first time it is said in this process."""
    say(text)


def duration(seconds: float) -> str:
    """Words such as '45s', '3m20s' or '2h05m'."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


class Counter:
    """Says `n of N things`, once per interval.

    Args:
      total: N.
      things: what is counted.
      interval: seconds between two lines.
    """

    def __init__(
        self, total: int, things: str = "images", interval: float = INTERVAL
    ):
        self._end = f" of {total:,} {things}"
        self._interval = interval
        self._done = 0
        self._shown = time.monotonic()

    def add(self, count: int) -> None:
        """Counts some more."""
        self._done += count
        if time.monotonic() - self._shown >= self._interval:
            self._shown = time.monotonic()
            say(f"{self._done:,}{self._end}")


class Progress:
    """One line per interval: step, metrics, speed, waiting, time left.

    Args:
      title: the stage's name.
      total_steps: steps of the whole run.
      batch_size: images per step.
      first_step: where this process starts.
      interval: seconds between two lines, after the first one; infinity for
        none.
    """

    def __init__(
        self,
        title: str,
        total_steps: int,
        batch_size: int,
        first_step: int,
        *,
        interval: float = INTERVAL,
    ):
        self.title = title
        self.total_steps = total_steps
        self.batch_size = batch_size
        self._interval = interval
        self._step = first_step
        self._time = time.monotonic()
        self._steady: tuple[int, float] | None = None
        self._waited: float | None = 0.0
        self._shown = False

    def due(self) -> bool:
        """True if a line should be shown now: at once, then per interval."""
        return (
            not self._shown or time.monotonic() - self._time >= self._interval
        )

    def add_wait(self, seconds: float | None) -> None:
        """Adds time that steps waited for input; None if not measured."""
        if seconds is None:
            self._waited = None
        elif self._waited is not None:
            self._waited += seconds

    def show(self, step: int, facts: list[str]) -> None:
        """Prints the line for `step`."""
        now = time.monotonic()
        elapsed = max(now - self._time, 1e-6)
        parts = [f"{self.title} {step}/{self.total_steps}", *facts]
        # The first steps include tracing and say nothing about speed.
        if self._steady is None:
            self._steady = (step, now)
        else:
            rate = (step - self._step) * self.batch_size / elapsed
            parts.append(f"{rate:.0f} images/s")
            if self._waited is not None:
                share = min(self._waited / elapsed, 1.0)
                parts.append(f"input wait {share:.0%}")
            done, since = self._steady
            seconds = (now - since) / max(step - done, 1)
            left = (self.total_steps - step) * seconds
            parts.append(f"left {duration(left)}")
        say("  ".join(parts))
        self._shown = True
        self._step, self._time = step, now
        self._waited = None if self._waited is None else 0.0
