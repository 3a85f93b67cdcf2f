"""How much memory this process takes."""

import os
import resource
import sys

import tensorflow as tf

_GIBIBYTE = 2.0**30


def memory_in_use() -> dict[str, float]:
    """{chart: GiB}: resident memory, and that of each GPU there is."""
    found = {"memory/resident_gib": _resident() / _GIBIBYTE}
    for index, _ in enumerate(tf.config.list_logical_devices("GPU")):
        info = tf.config.experimental.get_memory_info(f"GPU:{index}")
        found[f"memory/gpu{index}_gib"] = info["current"] / _GIBIBYTE
        found[f"memory/gpu{index}_peak_gib"] = info["peak"] / _GIBIBYTE
    return found


def _resident() -> float:
    """Bytes of this process in memory; elsewhere than on Linux, their peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
