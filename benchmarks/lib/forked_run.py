"""A run of run.py in a fork of a process that has imported TensorFlow."""

import os
import pathlib
import sys
import traceback

from benchmarks.lib.pinned import die_with_parent
from tf_simclr import cli, process

# Of every run as of this process, whatever a watcher among its parents takes.
NICENESS = os.getpriority(os.PRIO_PROCESS, 0)


def load_program() -> None:
    """Imports all that runs need, and starts nothing."""
    process.import_tensorflow()
    import sklearn.neighbors  # noqa: F401

    from tf_simclr.methods import distill, finetune, simclr  # noqa: F401
    from tf_simclr.modes import execute  # noqa: F401


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
        die_with_parent()
        with log.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        import tensorflow as tf

        [cpu] = tf.config.list_physical_devices("CPU")
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(cpu, parts)
        code = cli.main(command)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
