"""Costs of a pretraining step on 8 to 512 accelerators, on paper.

    python benchmarks/speed/scaling.py --markdown  # docs/scaling.md's tables
    python benchmarks/speed/scaling.py --depth=101 --width=2 --selective \\
        --machine=A100 --accelerators=64 --batch=8192

See `step_costs.py` for the model, `machines.py` for the machines' figures and
`network_costs.py` for what is counted.
"""

import argparse
import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from benchmarks.lib.machines import A100, H100, MACHINES, TPU_V3, Machine
from benchmarks.lib.network_costs import (
    NetworkCosts,
    architecture,
    network_costs,
)
from benchmarks.lib.step_costs import (
    BATCH,
    CHECKED_CORES,
    CHECKED_HOURS,
    FILE_BYTES,
    FITTED_CORES,
    FITTED_HOURS,
    FLOAT,
    HALF,
    IMAGE_SIZE,
    PROJECTION,
    Step,
    fitted_efficiency,
    hours,
    step,
)

ACCELERATORS = (8, 16, 32, 64, 128, 256, 512)
NETWORKS = {
    "R50 1x": (50, 1, False),
    "R50 2x+SK": (50, 2, True),
    "R101 2x+SK": (101, 2, True),
    "R152 3x+SK": (152, 3, True),
}
# The smallest and the largest.
ENDS = ("R50 1x", "R152 3x+SK")
# Of the paper's memory (appendix D).
QUEUE = 65536


def costs_of(name: str) -> NetworkCosts:
    """The costs of one of `NETWORKS`."""
    return network_costs(architecture(*NETWORKS[name]), IMAGE_SIZE)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A markdown table; all columns but the first are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in lines)


def networks_table() -> str:
    """Sizes of the networks."""
    rows = []
    for name in NETWORKS:
        costs = costs_of(name)
        recomputed = costs.kept_between_blocks + costs.largest_block
        rows.append(
            [
                name,
                f"{costs.parameters / 1e6:.1f}",
                f"{costs.flops / 1e9:.1f}",
                costs.norms,
                f"{HALF * costs.kept / 1e6:.0f}",
                f"{HALF * recomputed / 1e6:.0f}",
            ]
        )
    head = ["network", "parameters (M)", "GFLOP forward", "batch norms"]
    head += ["kept (MB)", "kept, recomputing (MB)"]
    return table(head, rows)


def published_table(efficiency: float) -> str:
    """The original's published times beside the model's."""
    costs = costs_of("R50 1x")
    rows = []
    for cores, published, role in (
        (FITTED_CORES, FITTED_HOURS, "fitted"),
        (CHECKED_CORES, CHECKED_HOURS, "predicted"),
    ):
        one = step(costs, TPU_V3, cores, efficiency=efficiency)
        rows.append(
            [f"{cores} cores", f"{published:.1f}", f"{hours(one):.2f}", role]
        )
    return table(["TPU v3", "published (h)", "model (h)", ""], rows)


def collectives_table() -> str:
    """Bytes over the links in a step, whatever the number of accelerators."""
    gathered = FLOAT * BATCH * 2 * PROJECTION
    rows = []
    for name in NETWORKS:
        costs = costs_of(name)
        rows.append(
            [
                name,
                f"{FLOAT * costs.parameters / 1e6:.0f}",
                f"{gathered / 1e6:.1f}",
                f"{4 * FLOAT * costs.norm_channels / 1e6:.2f}",
                4 * costs.norms,
            ]
        )
    head = ["network", "gradients (MB)", "projections (MB)"]
    head += ["batch norm (MB)", "batch norm (collectives)"]
    return table(head, rows)


def logits_table() -> str:
    """The contrastive logits of one accelerator."""
    rows = []
    for accelerators in ACCELERATORS:
        images = BATCH / accelerators
        logits = FLOAT * 4 * images * BATCH
        queued = FLOAT * 2 * images * QUEUE
        work = 2 * 3 * 4 * images * BATCH * PROJECTION
        rows.append(
            [
                accelerators,
                f"{images:.0f}",
                f"{logits / 1e6:.1f}",
                f"{queued / 1e6:.1f}",
                f"{work / 1e9:.1f}",
            ]
        )
    head = ["accelerators", "images each", "logits (MB)"]
    head += [f"to a queue of {QUEUE} (MB)", "GFLOP with gradient"]
    return table(head, rows)


def steps_table(
    machine: Machine, efficiency: float, names: Sequence[str] = tuple(NETWORKS)
) -> str:
    """Parts of the time of a step."""
    rows = []
    for name in names:
        for accelerators in ACCELERATORS:
            one = step(
                costs_of(name), machine, accelerators, efficiency=efficiency
            )
            rows.append([name, accelerators, *_times(one)])
    head = ["network", "accelerators", "step (ms)", "compute", "update"]
    head += ["logits", "gradients", "batch norm", "projections", "input"]
    return table([*head, "bound", "100 epochs (h)"], rows)


def _times(one: Step) -> list[str]:
    parts = (
        one.compute,
        one.update,
        one.logits,
        one.gradients,
        one.norms,
        one.embeddings,
        one.input,
    )
    shares = [f"{part / one.seconds:.1%}" for part in parts]
    total = f"{1000 * one.seconds:.0f}"
    return [total, *shares, one.bound, f"{hours(one):.1f}"]


def bounds_table(efficiency: float) -> str:
    """From how many accelerators on a step is no longer mostly arithmetic."""
    rows = []
    for name in NETWORKS:
        for machine in MACHINES.values():
            row = [name, machine.name]
            for share in (0.1, 0.5):
                row.append(_not_compute(name, machine, efficiency, share))
            rows.append(row)
    head = ["network", "accelerator", "other than compute over 10 %"]
    return table([*head, "over 50 %"], rows)


def _not_compute(
    name: str, machine: Machine, efficiency: float, share: float
) -> str:
    accelerators = ACCELERATORS[0]
    while accelerators <= BATCH:
        one = step(costs_of(name), machine, accelerators, efficiency=efficiency)
        if 1 - one.compute / one.seconds > share:
            parts = ("update", "logits", "gradients", "norms", "embeddings")
            largest = max(parts, key=lambda part: getattr(one, part))
            if one.bound == "input":
                largest = "input"
            return f"{accelerators} ({largest})"
        accelerators *= 2
    return "never"


def memory_table() -> str:
    """From how many accelerators on a batch fits, and with what it takes."""
    rows = []
    for name in NETWORKS:
        for machine in MACHINES.values():
            row = [name, machine.name]
            for recompute in (False, True):
                row.append(_fits(costs_of(name), machine, recompute))
            at_32 = step(costs_of(name), machine, 32, efficiency=1.0)
            row += [
                f"{size / 1e9:.1f}"
                for size in (
                    at_32.state_bytes,
                    at_32.activation_bytes,
                    at_32.recomputed_bytes,
                )
            ]
            rows.append(row)
    head = ["network", "accelerator", "fits on", "recomputing"]
    head += ["weights, momenta, gradients (GB)", "kept by each of 32 (GB)"]
    return table([*head, "recomputing (GB)"], rows)


def _fits(costs: NetworkCosts, machine: Machine, recompute: bool) -> str:
    for accelerators in ACCELERATORS:
        one = step(costs, machine, accelerators, efficiency=1.0)
        kept = one.recomputed_bytes if recompute else one.activation_bytes
        if one.state_bytes + one.logit_bytes + kept < machine.memory:
            return str(accelerators)
    return f"more than {ACCELERATORS[-1]}"


def input_table(efficiency: float) -> str:
    """Rates that the hosts must deliver if accelerators are not to wait."""
    rows = []
    for machine in MACHINES.values():
        for name in ENDS:
            one = step(costs_of(name), machine, 32, efficiency=efficiency)
            images = BATCH / 32 * machine.per_host / one.device
            view_bytes = 2 * IMAGE_SIZE**2 * 3 * FLOAT
            rows.append(
                [
                    name,
                    machine.name,
                    f"{images:.0f}",
                    f"{images * FILE_BYTES / 1e6:.0f}",
                    f"{images * view_bytes / 1e9:.2f}",
                    f"{1000 * machine.host_cores / images:.0f}",
                ]
            )
    head = ["network", "accelerator", "images/s per host", "files (MB/s)"]
    head += ["views to accelerators (GB/s)", "CPU time per image (ms)"]
    return table(head, rows)


def markdown() -> dict[str, str]:
    """{name: table} of docs/scaling.md."""
    efficiency = fitted_efficiency(costs_of("R50 1x"))
    return {
        "networks": networks_table(),
        "published": f"Share of peak that is fitted: {efficiency:.1%}.\n\n"
        + published_table(efficiency),
        "collectives": collectives_table(),
        "logits": logits_table(),
        "tpu": steps_table(TPU_V3, efficiency),
        "a100": steps_table(A100, efficiency, ENDS),
        "h100": steps_table(H100, efficiency, ENDS),
        "bounds": bounds_table(efficiency),
        "memory": memory_table(),
        "input": input_table(efficiency),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, or one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--width", type=float, default=1)
    parser.add_argument("--selective", action="store_true")
    parser.add_argument("--machine", choices=MACHINES, default=TPU_V3.name)
    parser.add_argument("--accelerators", type=int, default=32)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--recompute", action="store_true")
    asked = parser.parse_args(arguments)
    if asked.markdown:
        for name, text in markdown().items():
            print(f"### {name}\n\n{text}\n")
        return
    described = architecture(asked.depth, asked.width, asked.selective)
    one = step(
        network_costs(described, IMAGE_SIZE),
        MACHINES[asked.machine],
        asked.accelerators,
        asked.batch,
        efficiency=fitted_efficiency(costs_of("R50 1x")),
        recompute=asked.recompute,
    )
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        in_bytes = field.name.endswith("_bytes")
        amount = f"{value / 1e9:.3f} GB" if in_bytes else f"{value:.5f} s"
        print(f"{field.name:<17}{amount}")
    print(f"step             {one.seconds:.5f} s, bound by {one.bound}")
    print(f"100 epochs       {hours(one, asked.batch):.2f} h")


if __name__ == "__main__":
    main()
