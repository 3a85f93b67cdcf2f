"""Peak memory of the pretraining step by what decides it.

    python benchmarks/speed/memory.py --output=runs/memory

Each row is a process of its own that takes `--steps` whole steps, input and
augmentation included, at two batch sizes. Peak memory is that of the process
(on a GPU, of the device); "MiB a pair" is the difference of the two peaks by
that of the batches: what one more image costs, its activations before all.
Results go to OUTPUT.json and OUTPUT.md.
"""

import argparse
import itertools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import as_line
from benchmarks.lib.pretraining_step import run_case
from benchmarks.lib.results import write_results

# Depth, width, SK ratio, image size, smaller batch.
NETWORKS = [
    (18, 1, 0, 32, 128),
    (50, 1, 0, 224, 4),
    (50, 1, 0.0625, 224, 4),
    (50, 2, 0.0625, 224, 4),
    (101, 2, 0.0625, 224, 4),
    (152, 3, 0.0625, 224, 2),
]
# The larger batch is so many times the smaller.
GROWTH = 2
# The batch of the paper, in parts that a small machine takes.
LARGE = (
    "--resnet_depth=18 --image_size=32 --train_batch_size=4096"
    " --micro_batch_size=128"
)


def peak(flags: str, steps: int) -> dict:
    """One process's result, with its peak in MiB."""
    options = [
        "--measure",
        "end_to_end",
        f"--steps={steps}",
        "--repeats=1",
        "--peak_side=0",
    ]
    found = run_case(flags, options)
    # The device's, where there is one.
    sizes = dict(found["peak_bytes"])
    host = sizes.pop("host")
    found["peak_mib"] = max(sizes.values(), default=host) / 2**20
    return found


def measure(
    network: tuple, precision: str, recompute: bool, extra: str, steps: int
) -> dict:
    """A row: one network under one policy at two batch sizes."""
    depth, width, sk_ratio, size, batch = network
    flags = (
        f"--resnet_depth={depth} --width_multiplier={width}"
        f" --sk_ratio={sk_ratio} --image_size={size} --precision={precision}"
    )
    flags += " --recompute" * recompute + f" {extra}"
    small, large = (
        peak(f"{flags} --train_batch_size={count}", steps)
        for count in (batch, GROWTH * batch)
    )
    more = (GROWTH - 1) * batch
    return {
        "network": f"R{depth} {width}x{'+SK' if sk_ratio else ''}",
        "image_size": size,
        "precision": precision,
        "recompute": recompute,
        "batch": GROWTH * batch,
        "peak_mib": large["peak_mib"],
        "mib_per_pair": (large["peak_mib"] - small["peak_mib"]) / more,
        "hardware": large["hardware"],
    }


def table(rows: list[dict]) -> str:
    """All rows as a table in Markdown."""
    lines = [
        "| network | image | precision | recompute | batch | peak, MiB |"
        " MiB a pair |",
        "|---|---:|---|---|---:|---:|---:|",
    ]
    for row in rows:
        each = row["mib_per_pair"]
        lines.append(
            f"| {row['network']} | {row['image_size']} | {row['precision']} |"
            f" {'yes' if row['recompute'] else 'no'} | {row['batch']} |"
            f" {row['peak_mib']:.0f} |"
            f" {'-' if each is None else f'{each:.1f}'} |"
        )
    return "\n".join(lines)


def as_markdown(rows: list[dict]) -> str:
    """The table with its title and the machine."""
    machine = as_line(rows[0]["hardware"])
    title = "# Peak memory of a training step"
    return f"{title}\n\n{machine}\n\n{table(rows)}\n"


def main() -> None:
    """Measures all rows, and writes them as they come."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=len(NETWORKS))
    parser.add_argument("--flags", default="", help="Added to every row's.")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="Only 4096.")
    parser.add_argument("--output", default="runs/memory")
    arguments = parser.parse_args()
    rows: list[dict] = []

    def add(row: dict) -> None:
        rows.append(row)
        write_results(arguments.output, rows, as_markdown(rows))

    if not arguments.large:
        for network, precision, recompute in itertools.product(
            NETWORKS[: arguments.networks],
            ("float32", "mixed_bfloat16"),
            (False, True),
        ):
            add(
                measure(
                    network,
                    precision,
                    recompute,
                    arguments.flags,
                    arguments.steps,
                )
            )
    found = peak(
        f"{LARGE} --precision=mixed_bfloat16 {arguments.flags}",
        arguments.steps,
    )
    add(
        {
            "network": "R18 1x, 32 parts",
            "image_size": 32,
            "precision": found["precision"],
            "recompute": False,
            "batch": found["batch"],
            "peak_mib": found["peak_mib"],
            "mib_per_pair": None,
            "hardware": found["hardware"],
        }
    )
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
