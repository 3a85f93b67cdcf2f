"""The hardware of a benchmark: processor, memory, devices, versions."""

import os
import pathlib
import platform


def hardware() -> dict[str, str | int | float | list[str]]:
    """The machine, as far as it tells; imports TensorFlow."""
    import tensorflow as tf
    import tf_keras as keras

    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(
            os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
        ),
        "accelerators": [
            tf.config.experimental.get_device_details(device).get(
                "device_name", device.device_type
            )
            for device in tf.config.list_physical_devices()
            if device.device_type != "CPU"
        ],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "tf_keras": keras.__version__,
    }


def as_line(machine: dict) -> str:
    """The machine in one line of Markdown."""
    devices = ", ".join(machine["accelerators"]) or "no accelerator"
    return (
        f"{machine['cpu']}, {machine['cores']} cores,"
        f" {machine['memory_gib']} GiB, {devices}; Python"
        f" {machine['python']}, TensorFlow {machine['tensorflow']}, tf_keras"
        f" {machine['tf_keras']}"
    )


def _cpu_name() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
