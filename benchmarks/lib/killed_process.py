"""Processes of a kill test: watched, killed at a chosen moment."""

import contextlib
import os
import pathlib
import re
import signal
import time
from collections.abc import Callable

import numpy as np

from benchmarks.lib.forked_run import NICENESS

KINDS = ("any moment", "training", "writing")
# Checkpoints that a run saves, and about how long saving one takes: 9 ms on an
# AMD EPYC.
SAVES = 6
WRITING_SECONDS = 0.01
# The watcher's, where that is allowed: writing is over in milliseconds.
_WATCHFUL = NICENESS - 10
# Seconds after which a run counts as hanging.
PATIENCE = 600.0


def finish(process: int, due: Callable[[], bool]) -> int | None:
    """Waits for a process; kills it as soon as `due`.

    Args:
      process: its id.
      due: whether to kill it now.

    Returns:
      Its exit code; None if it was killed when due, 1 if it hung for
      `PATIENCE` seconds.
    """
    started = time.monotonic()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _WATCHFUL)
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        late = time.monotonic() - started > PATIENCE
        if late or due():
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            return 1 if late else None
        time.sleep(0.0005)


def first_step(folder: pathlib.Path) -> Callable[[], bool]:
    """() -> whether the run has logged anything since now."""
    path = folder / "metrics.jsonl"

    def stamp() -> int:
        with contextlib.suppress(OSError):
            return path.stat().st_mtime_ns
        return 0

    before = stamp()
    return lambda: stamp() != before


def new_checkpoints(folder: pathlib.Path, wanted: int) -> Callable[[], bool]:
    """() -> whether `wanted` more checkpoints have been begun since now."""

    def steps() -> set[str]:
        with contextlib.suppress(OSError):
            names = os.listdir(folder / "checkpoints")
            return {re.match(r"\.?[a-z-]*(\d*)", name)[1] for name in names}
        return set()

    before = steps()
    seen: set[str] = set()

    def begun() -> bool:
        seen.update(steps() - before)
        return len(seen) >= wanted

    return begun


def moment(
    kind: str,
    folder: pathlib.Path,
    reference: dict[str, float],
    rng: np.random.Generator,
) -> Callable[[], bool]:
    """() -> whether to kill now: some time after an event.

    Args:
      kind: of the event.
      folder: the run's.
      reference: the seconds of an undisturbed run.
      rng: chooses.
    """
    event, most = {
        "any moment": (lambda: True, reference["seconds"]),
        "training": (first_step(folder), reference["training_seconds"]),
        "writing": (
            new_checkpoints(folder, int(rng.integers(1, SAVES + 1))),
            WRITING_SECONDS,
        ),
    }[kind]
    delay = rng.uniform(0.0, most)
    happened: list[float] = []

    def due() -> bool:
        if not happened and event():
            happened.append(time.monotonic())
        return bool(happened) and time.monotonic() - happened[0] >= delay

    return due


def unfinished(folder: pathlib.Path) -> set[tuple[pathlib.Path, int]]:
    """Files that a killed process left half-written, with the times of
    writing."""
    paths = [*folder.glob("**/.writing-*"), *folder.glob("checkpoints/*_temp")]
    for path in folder.glob("checkpoints/ckpt-*.*"):
        manifest = path.name.split(".")[0] + ".manifest.json"
        if not path.with_name(manifest).exists():
            paths.append(path)
    return {(path, path.stat().st_mtime_ns) for path in paths}
