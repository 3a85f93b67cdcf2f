"""The arithmetic that suits a device."""

import dataclasses
import pathlib

import tensorflow as tf

from tf_simclr.training.devices import device_kinds

# Flags of x86 processors that multiply bfloat16 numbers themselves.
_BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
_CPU_INFO = pathlib.Path("/proc/cpuinfo")


@dataclasses.dataclass(frozen=True)
class Precision:
    """The arithmetic of a run.

    Attributes:
      policy: a Keras dtype policy: float32, mixed_bfloat16 or mixed_float16.
      reason: why it was chosen; '' where a flag names it.
    """

    policy: str
    reason: str = ""

    @property
    def scales_loss(self) -> bool:
        """True if gradients leave the range of its numbers without scaling."""
        return self.policy == "mixed_float16"

    def __str__(self) -> str:
        return f"{self.policy} ({self.reason})" if self.reason else self.policy


def choose_precision(
    wanted: str, strategy: tf.distribute.Strategy
) -> Precision:
    """The precision that `--precision` names, `auto` resolved.

    `auto` takes 16 bits where the devices compute faster with them, and
    bfloat16, which needs no loss scaling, before float16.
    """
    if wanted != "auto":
        return Precision(wanted)
    kinds = device_kinds(strategy)
    if kinds == {"TPU"}:
        return Precision("mixed_bfloat16", "auto: TPUs multiply bfloat16")
    if kinds == {"GPU"}:
        return gpu_precision(_compute_capability())
    text = _CPU_INFO.read_text() if _CPU_INFO.exists() else ""
    return cpu_precision(text)


def lacks_avx512() -> bool:
    """True on an x86 processor without AVX-512; False where that is not
    known."""
    flags = set(_CPU_INFO.read_text().split()) if _CPU_INFO.exists() else set()
    return "avx2" in flags and "avx512f" not in flags


def cpu_precision(cpu_info: str) -> Precision:
    """The precision that suits a processor.

    Args:
      cpu_info: what Linux tells of it in /proc/cpuinfo.
    """
    flags = set(cpu_info.split())
    for instruction in _BFLOAT16_INSTRUCTIONS:
        if instruction in flags:
            return Precision("mixed_bfloat16", f"auto: CPU with {instruction}")
    return Precision(
        "float32",
        f"auto: CPU without {' or '.join(_BFLOAT16_INSTRUCTIONS)}",
    )


def gpu_precision(capability: tuple[int, int] | None) -> Precision:
    """The precision that suits GPUs.

    Args:
      capability: the lowest CUDA compute capability among them, such as
        (8, 0); None where it is not known.
    """
    if capability is None:
        return Precision("float32", "auto: GPU of unknown capability")
    reason = f"auto: GPU of compute capability {capability[0]}.{capability[1]}"
    # Tensor cores: float16 since Volta (7.0), bfloat16 since Ampere (8.0).
    if capability >= (8, 0):
        return Precision("mixed_bfloat16", reason)
    if capability >= (7, 0):
        return Precision("mixed_float16", reason)
    return Precision("float32", reason)


def _compute_capability() -> tuple[int, int] | None:
    found = []
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        if "compute_capability" not in details:
            return None
        found.append(tuple(details["compute_capability"]))
    return min(found, default=None)
