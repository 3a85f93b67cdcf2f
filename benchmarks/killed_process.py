"""Processes of a kill test: forked, watched, killed at a chosen moment."""

import contextlib
import ctypes
import os
import pathlib
import re
import signal
import sys
import time
from collections.abc import Callable

import numpy as np

KINDS = ("any moment", "training", "writing")
# Checkpoints that a run saves, and about how long saving one takes: 9 ms on an
# AMD EPYC.
SAVES = 6
WRITING_SECONDS = 0.01
# Of the watched process as of this one; the watcher's is less, where that is
# allowed: writing is over in milliseconds.
_NICENESS = os.getpriority(os.PRIO_PROCESS, 0)
_WATCHFUL = _NICENESS - 10
# Seconds after which a run counts as hanging.
PATIENCE = 600.0
# prctl's name for it.
_DIE_WITH_PARENT = 1


def fork(command: list[str], devices: int, log: pathlib.Path) -> int:
    """Starts run.py in a process of its own; returns its id.

    Args:
      command: its arguments.
      devices: as how many its TensorFlow sees the CPU.
      log: what it prints is added here.
    """
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        import tensorflow as tf

        import run

        [cpu] = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, parts)
        code = run.main(command)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def finish(
    process: int, due: Callable[[], bool], patience: float = PATIENCE
) -> int | None:
    """Waits for a process; kills it as soon as `due`.

    Args:
      process: its id.
      due: whether to kill it now.
      patience: seconds after which it counts as hanging and is killed.

    Returns:
      Its exit code; None if it was killed when due, 1 if it hung.
    """
    started = time.monotonic()
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _WATCHFUL)
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        late = time.monotonic() - started > patience
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
    """What a killed process left half-written, with the times of writing."""
    paths = [*folder.glob("**/.writing-*"), *folder.glob("checkpoints/*_temp")]
    for path in folder.glob("checkpoints/ckpt-*.*"):
        manifest = path.name.split(".")[0] + ".manifest.json"
        if not path.with_name(manifest).exists():
            paths.append(path)
    return {(path, path.stat().st_mtime_ns) for path in paths}
