"""A run of run.py in a fork of a process that has imported TensorFlow."""

import ctypes
import os
import pathlib
import signal
import sys

# Of every run as of this process, whatever a watcher among its parents takes.
NICENESS = os.getpriority(os.PRIO_PROCESS, 0)
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
        os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
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
