"""What a user sees while a stage runs."""

import sys
import time

# A line at least this often, counted in seconds.
INTERVAL = 10.0


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def duration(seconds: float) -> str:
    """Such as '45s', '3m20s' or '2h05m'."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m{seconds % 60:02d}s"
    return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"


class Progress:
    """One line per interval: step, metrics, speed, waiting, time left.

    Args:
      title: the stage's name.
      total_steps: steps of the whole run.
      batch_size: images per step.
      first_step: where this process starts.
    """

    def __init__(
        self, title: str, total_steps: int, batch_size: int, first_step: int
    ):
        self.title = title
        self.total_steps = total_steps
        self.batch_size = batch_size
        self._step = first_step
        self._time = time.monotonic()
        self._steady: tuple[int, float] | None = None
        self._waited = 0.0
        self._shown = False

    def due(self) -> bool:
        """Whether a line should be shown now: at once, then per interval."""
        return not self._shown or time.monotonic() - self._time >= INTERVAL

    def waited(self, seconds: float) -> None:
        """Adds time that a step waited for its input."""
        self._waited += seconds

    def show(self, step: int, facts: list[str]) -> dict[str, float]:
        """Prints the line for `step`; returns the speeds in it."""
        now = time.monotonic()
        elapsed = max(now - self._time, 1e-6)
        rate = (step - self._step) * self.batch_size / elapsed
        share = min(self._waited / elapsed, 1.0)
        parts = [f"{self.title} {step}/{self.total_steps}", *facts]
        # The first steps include tracing and say nothing about speed.
        if self._steady is not None:
            done, since = self._steady
            seconds = (now - since) / max(step - done, 1)
            left = (self.total_steps - step) * seconds
            parts += [
                f"{rate:.0f} images/s",
                f"input wait {share:.0%}",
                f"left {duration(left)}",
            ]
        else:
            self._steady = (step, now)
        say("  ".join(parts))
        self._shown = True
        self._step, self._time, self._waited = step, now, 0.0
        return {"images_per_second": rate, "input_wait": share}


def warn(text: str) -> None:
    """Prints a notice on standard error."""
    print(text, file=sys.stderr, flush=True)
