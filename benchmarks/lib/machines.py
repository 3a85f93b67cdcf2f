"""Accelerators, by their data sheets."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
    """An accelerator, its links and its share of a host.

    Attributes:
      name: as tables call it.
      flops: peak bfloat16 operations per second.
      memory: bytes.
      memory_rate: bytes per second.
      group: accelerators whose links are fast: a host, or the whole machine.
      group_rate: bytes per second that one sends within its group.
      far_rate: bytes per second that one sends to other groups.
      latency: seconds of a small collective operation.
      per_host: accelerators that share a host.
      host_cores: of that host.
      input_rate: bytes per second from the host to one accelerator.
    """

    name: str
    flops: float
    memory: float
    memory_rate: float
    group: int
    group_rate: float
    far_rate: float
    latency: float
    per_host: int
    host_cores: int
    input_rate: float

    def all_reduce(self, size: float, accelerators: int) -> float:
        """Seconds in which all have the sum of arrays of `size` bytes.

        First within the groups, in rings: each accelerator sends its array
        nearly twice. Then each of a group sums its part with the other
        groups'.
        """
        near = min(self.group, accelerators)
        groups = accelerators // near
        seconds = 2 * (near - 1) / near * size / self.group_rate
        if groups > 1:
            part = size / near
            seconds += 2 * (groups - 1) / groups * part / self.far_rate
        return seconds


# Small collectives are latency alone; 20 microseconds is an assumption.
_LATENCY = 20e-6

# cloud.google.com/tpu/docs/v3: 123 TFLOP/s, 32 GiB and 900 GB/s for the two
# cores of a chip; all-reduce bandwidth of a pod of 1,024 chips 340 TB/s, where
# the two cores of a chip sum theirs first. A host has 8 cores, 96 virtual CPUs
# and (assumed) one PCIe 3.0 x16.
TPU_V3 = Machine(
    name="TPU v3 core",
    flops=123e12 / 2,
    memory=32 * 2**30 / 2,
    memory_rate=900e9 / 2,
    group=2048,
    group_rate=340e12 / 1024,
    far_rate=1.0,
    latency=_LATENCY,
    per_host=8,
    host_cores=96,
    input_rate=15.75e9 / 8,
)

# NVIDIA's data sheets of A100 80GB SXM and H100 SXM: dense bfloat16, HBM,
# NVLink in one direction; hosts as DGX A100 and DGX H100: 8 GPUs, one network
# port of 200 or 400 Gbit/s for each, PCIe 4.0 or 5.0 x16 for each (the A100's
# in pairs), 2x64 or 2x56 cores.
A100 = Machine(
    name="A100",
    flops=312e12,
    memory=80e9,
    memory_rate=2039e9,
    group=8,
    group_rate=300e9,
    far_rate=25e9,
    latency=_LATENCY,
    per_host=8,
    host_cores=128,
    input_rate=31.5e9 / 2,
)
H100 = Machine(
    name="H100",
    flops=989e12,
    memory=80e9,
    memory_rate=3350e9,
    group=8,
    group_rate=450e9,
    far_rate=50e9,
    latency=_LATENCY,
    per_host=8,
    host_cores=112,
    input_rate=63e9,
)
# NVIDIA's data sheets of T4 (float16 on its tensor cores) and H200 SXM.
T4 = dataclasses.replace(
    A100,
    name="T4",
    flops=65e12,
    memory=16e9,
    memory_rate=320e9,
    input_rate=15.75e9,
)
H200 = dataclasses.replace(H100, name="H200", memory=141e9, memory_rate=4800e9)
MACHINES = {machine.name: machine for machine in (TPU_V3, A100, H100)}
