"""Upper bounds of our pretraining step on one GPU, on paper.

    python benchmarks/speed/roofline.py --output=benchmarks/results/roofline

Traces the step as a GPU gets it, counts the operations and bytes of each of
its kernels, and divides them by the rates of data sheets. Nothing is measured
and nothing runs. A kernel takes as long as its arithmetic or its bytes,
whichever is slower, and what it takes to launch it; no two overlap. Results go
to OUTPUT.json.
"""

import argparse
import collections
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Iterable, Mapping

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from benchmarks.lib.machines import A100, H100, H200, T4, Machine
from benchmarks.lib.results import write_results
from benchmarks.lib.step_graph import Operation, step_operations

GPUS = (T4, A100, H100, H200)
# Seconds in which TensorFlow's executor hands one kernel to a GPU: an
# assumption.
LAUNCH = 5e-6
CASES = {
    "R18 32px": "--resnet_depth=18 --image_size=32 --train_batch_size=512",
    "R50 224px": "--resnet_depth=50 --image_size=224 --train_batch_size=256",
    "R50+SK 224px": "--resnet_depth=50 --sk_ratio=0.0625 --image_size=224"
    " --train_batch_size=256",
}
CONVOLUTIONS, DENSE, NORM = "convolutions", "matrix products", "batch norm"
LAYOUT = "batch norm: changes of layout"
RELU, SUMS, REST = "ReLU", "sums of maps", "views, loss, optimizer"
KINDS = (CONVOLUTIONS, NORM, LAYOUT, RELU, SUMS, DENSE, REST)
# TensorFlow's kernels of batch norm in training turn NHWC into NCHW and back:
# forward the input and the output, backward both inputs and the output; each
# is read and written once more (`fused_batch_norm_op.cc`; float16 with
# TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT=1 is spared that).
_TURN = "Transpose of batch norm"
_TURNED = {"FusedBatchNormV3": 2, "FusedBatchNormGradV3": 3}


def kind_of(operation: Operation) -> str:
    """The kind of an operation: one of `KINDS`."""
    name = operation.kind
    if name.startswith(("Conv2D", "DepthwiseConv2d")):
        return CONVOLUTIONS
    if "MatMul" in name:
        return DENSE
    if name.startswith("FusedBatchNorm"):
        return NORM
    if name.startswith("Relu"):
        return RELU
    if name in ("AddN", "AddV2") and len(operation.shape) == 4:
        return SUMS
    return REST


def with_layouts(operations: Iterable[Operation]) -> list[Operation]:
    """The operations, with the kernels that batch norm launches beside."""
    found = []
    for operation in operations:
        found.append(operation)
        if operation.kind in _TURNED:
            size = operation.dtype.size * math.prod(operation.shape)
            turned = dataclasses.replace(
                operation, kind=_TURN, flops=0, bytes=2 * size
            )
            found += [turned] * _TURNED[operation.kind]
    return found


def asked(operations: Iterable[Operation], pairs: int) -> dict[str, dict]:
    """{kind: kernels of a step, and GFLOP and MB of a pair of views}."""
    found: dict[str, dict] = {
        kind: {"kernels": 0, "gflop": 0.0, "megabytes": 0.0} for kind in KINDS
    }
    for operation in operations:
        kind = LAYOUT if operation.kind == _TURN else kind_of(operation)
        found[kind]["kernels"] += 1
        found[kind]["gflop"] += operation.flops / pairs / 1e9
        found[kind]["megabytes"] += operation.bytes / pairs / 1e6
    return found


def bound(
    operations: Iterable[Operation], pairs: int, machine: Machine
) -> dict[str, float]:
    """Milliseconds of a step, by what bounds its kernels, and pairs/s."""
    seconds: collections.Counter[str] = collections.Counter()
    for operation in operations:
        arithmetic = operation.flops / machine.flops
        memory = operation.bytes / machine.memory_rate
        if arithmetic > memory:
            seconds["arithmetic"] += arithmetic
        else:
            seconds["memory"] += memory
        seconds["launches"] += LAUNCH
    return {
        **{name: 1000 * value for name, value in seconds.items()},
        "pairs_per_second": pairs / seconds.total(),
    }


def host_bytes(side: int) -> dict[str, int]:
    """Bytes that the host sends for a pair, by where its views are made.

    Args:
      side: of a view. On the device, at most as much is sent as the finished
        views have; for images as large as the view, these bytes.
    """
    return {
        "host": 2 * side * side * 3 * 4,
        "device": side * side * 3,
    }


def measure(cases: Mapping[str, str]) -> dict:
    """All of that, for every case."""
    results = {}
    for name, flags in cases.items():
        pairs = int(flags.rpartition("--train_batch_size=")[2])
        side = int(flags.partition("--image_size=")[2].split()[0])
        operations = with_layouts(
            step_operations(
                f"{flags} --precision=mixed_bfloat16 --augment_on=device"
            )
        )
        results[name] = {
            "batch": pairs,
            "asked": asked(operations, pairs),
            "bounds": {m.name: bound(operations, pairs, m) for m in GPUS},
            "host_bytes": host_bytes(side),
        }
    return results


def asked_table(results: dict, case: str) -> str:
    """Work of the kernels of one case, by kind."""
    lines = [
        "| kernels | number | GFLOP a pair | MB a pair |",
        "|---|---:|---:|---:|",
    ]
    rows = results[case]["asked"]
    for kind, row in rows.items():
        lines.append(
            f"| {kind} | {row['kernels']:,} | {row['gflop']:.1f} |"
            f" {row['megabytes']:.0f} |"
        )
    totals = [
        sum(row[name] for row in rows.values())
        for name in ("kernels", "gflop", "megabytes")
    ]
    lines.append(f"| all | {totals[0]:,} | {totals[1]:.1f} | {totals[2]:.0f} |")
    return "\n".join(lines)


def bounds_table(results: dict) -> str:
    """The bounds of every case on every GPU."""
    lines = [
        "| network | GPU | arithmetic | memory | launches | pairs/s at most |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for case, found in results.items():
        for gpu, row in found["bounds"].items():
            lines.append(
                f"| {case} | {gpu} | {row.get('arithmetic', 0):.1f} ms |"
                f" {row['memory']:.1f} ms | {row['launches']:.1f} ms |"
                f" {row['pairs_per_second']:,.0f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Counts and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="runs/roofline")
    arguments = parser.parse_args()
    results = measure(CASES)
    text = "\n\n".join(
        [bounds_table(results), *(asked_table(results, case) for case in CASES)]
    )
    write_results(arguments.output, {"cases": results}, text)
    print(text)


if __name__ == "__main__":
    main()
