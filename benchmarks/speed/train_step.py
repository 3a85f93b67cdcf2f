"""Pairs per second of the pretraining step, bare and from end to end.

    python benchmarks/speed/train_step.py --output=runs/train_step \\
        --against='torch=TORCH_PYTHON benchmarks/speed/against/torch_resnet.py'

"bare" repeats one batch that lies on the device: forward, backward, update.
"end to end" is what a run does: input, augmentation, step, metrics. Each
configuration runs in a process of its own (`one_step.py`), on whatever
devices `run.py` would take, and ends with the product of two 4096 x 4096
matrices in the same number format: the share of that rate which the bare
step's convolutions and products reach says how much of the machine is used.

--against='NAME=CMD' runs any other program's command in the same run, before
and after ours; it prints `pairs/s: X` as often as it likes. Results go to
OUTPUT.json and OUTPUT.md. What is measured is the median, with the lowest
and the highest in brackets.
"""

import argparse
import pathlib
import re
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import as_line
from benchmarks.lib.pretraining_step import run_case
from benchmarks.lib.results import write_results
from benchmarks.lib.spreads import median_and_range

# Name -> flags of `run.py`. The first is the original release's CIFAR-10
# command, but for the batch and the precision.
CASES = {
    "R18 32px": "--resnet_depth=18 --image_size=32 --train_batch_size=256"
    " --nouse_blur --color_jitter_strength=0.5 --learning_rate=1"
    " --weight_decay=1e-4 --temperature=0.5",
    "R50 224px": "--resnet_depth=50 --image_size=224 --train_batch_size=16",
    "R50+SK 224px": "--resnet_depth=50 --sk_ratio=0.0625 --image_size=224"
    " --train_batch_size=16",
}
_PAIRS = re.compile(r"pairs/s:\s*([0-9.]+)")


def run_against(named: str) -> tuple[str, list[float]]:
    """The pairs per second that NAME=CMD printed."""
    name, _, command = named.partition("=")
    done = subprocess.run(
        command, shell=True, stdout=subprocess.PIPE, text=True, check=False
    )
    found = [float(text) for text in _PAIRS.findall(done.stdout)]
    if done.returncode or not found:
        raise SystemExit(
            f"--against={named} must print 'pairs/s: X' and exit with 0."
            f" Received: exit {done.returncode}, {done.stdout[-500:]}"
        )
    return name, found


def as_markdown(results: dict) -> str:
    """All results as Markdown."""
    lines = [
        "# Training step",
        "",
        as_line(next(iter(results["cases"].values()))["hardware"]),
        "",
        "| case | precision | batch | bare, pairs/s | end to end, pairs/s |"
        " end to end / bare | GFLOP/s | matrix product, GFLOP/s | share |"
        " peak memory, GiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, case in results["cases"].items():
        bare, whole = (
            case["pairs_per_second"][what] for what in ("bare", "end_to_end")
        )
        speed = statistics.median(bare) * case["flops_per_pair"] * 1e-9
        products = case["product_gflops"]
        share = speed / statistics.median(products) if products else 0.0
        ratio = statistics.median(whole) / statistics.median(bare)
        peak = max(case["peak_bytes"].values()) / 2**30
        lines.append(
            f"| {name} | {case['precision']} | {case['batch']} |"
            f" {median_and_range(bare)} | {median_and_range(whole)} |"
            f" {ratio:.3f} | {speed:.0f} |"
            f" {median_and_range(products)} | {share:.1%} | {peak:.2f} |"
        )
    if results["against"]:
        lines += ["", "| other program | pairs/s |", "|---|---:|"]
        lines += [
            f"| {name} | {median_and_range(found)} |"
            for name, found in results["against"].items()
        ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Runs all cases and programs, and writes what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--flags", default="", help="Added to every case's.")
    parser.add_argument(
        "--precisions", nargs="*", default=["float32", "mixed_bfloat16"]
    )
    parser.add_argument("--against", action="append", default=[])
    parser.add_argument("--output", default="runs/train_step")
    arguments, options = parser.parse_known_args()
    results: dict[str, dict] = {"cases": {}, "against": {}}

    def run_others() -> None:
        for named in arguments.against:
            name, found = run_against(named)
            results["against"].setdefault(name, []).extend(found)

    run_others()
    for name in arguments.cases:
        for precision in arguments.precisions:
            flags = f"{CASES[name]} --precision={precision} {arguments.flags}"
            results["cases"][f"{name}, {precision}"] = run_case(flags, options)
    run_others()
    text = as_markdown(results)
    write_results(arguments.output, results, text)
    print(text)


if __name__ == "__main__":
    main()
