"""Correctness and speed of this machine's GPUs, in one JSON.

    python benchmarks/speed/gpu.py --output=runs/gpu

Correctness: the tests that compare with the original's figures; a run that was
stopped and continued against one that was not, bit by bit; and, with several
GPUs, one of them against all. Speed: pairs per second of the pretraining step,
bare and from end to end, of three networks in four number formats, with and
without XLA; of the input from JPEG files; and of PyTorch's step where PyTorch
is installed (--torch_python names its interpreter).

Parts run in order of what they tell, each in a process of its own. None starts
after --minutes; those are listed as not run. OUTPUT.json is written anew after
each part.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.paths import ROOT
from benchmarks.lib.timing import add_timing_options
from tf_simclr import process

# Name -> flags, with the batch for 40 GiB of memory and more, and below.
CASES = {
    "R18 32px": ("--resnet_depth=18 --image_size=32", 512, 256),
    "R50 224px": ("--resnet_depth=50 --image_size=224", 256, 32),
    "R50+SK 224px": (
        "--resnet_depth=50 --sk_ratio=0.0625 --image_size=224",
        256,
        32,
    ),
}
LARGE = 40 * 2**30
PRECISIONS = {
    "mixed_bfloat16": "--precision=mixed_bfloat16",
    "mixed_float16": "--precision=mixed_float16",
    "float32": "--precision=float32",
    "float32, TF32": "--precision=float32 --tf32",
}
# What runs take that are compared with each other.
COMPARED = (
    *("--mode=pretrain", "--dataset=digits", "--image_size=16"),
    *("--resnet_depth=18", "--width_multiplier=0.25", "--precision=float32"),
    *("--train_batch_size=128", "--train_steps=20", "--checkpoint_steps=10"),
    *("--learning_rate_scaling=none", "--learning_rate=0.1"),
    *("--deterministic", "--global_bn", "--noexport"),
)


def output_of(command: Sequence[str]) -> str:
    """Standard output of a command.

    Raises:
      RuntimeError: it failed; has the end of what it said.
    """
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:] or done.stdout[-500:])
    return done.stdout


def machine() -> dict:
    """The devices. They are asked, not used: their memory stays free."""
    process.import_tensorflow()
    import tensorflow as tf

    details = [
        tf.config.experimental.get_device_details(device)
        for device in tf.config.list_physical_devices("GPU")
    ]
    return {
        **hardware(),
        "capabilities": [d.get("compute_capability") for d in details],
        "memory_bytes": gpu_memory(),
    }


def gpu_memory() -> int:
    """Bytes of the smallest GPU's memory, as its driver says; 0: unknown."""
    command = ["nvidia-smi", "--query-gpu=memory.total"]
    try:
        said = subprocess.run(
            [*command, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return min(int(line) for line in said.split()) * 2**20


def golden(tests: Sequence[str]) -> dict:
    """The tests that compare with the original's figures."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-m", "golden", *tests],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "failed": failed, "of": lines[-1]}


def resumed() -> dict:
    """The largest difference of a run that was stopped half-way."""
    with tempfile.TemporaryDirectory() as folder:
        whole, halved = (pathlib.Path(folder) / name for name in ("a", "b"))
        _run(whole)
        shutil.copytree(whole, halved)
        # As a process leaves it that was killed before step 20.
        for path in (halved / "checkpoints").glob("ckpt-20*"):
            path.unlink()
        (halved / "result.json").unlink()
        _run(halved)
        return {"largest_difference": _difference(whole, halved)}


def replicas() -> dict:
    """The largest difference of all GPUs from one of them."""
    with tempfile.TemporaryDirectory() as folder:
        one, all_of_them = (pathlib.Path(folder) / name for name in ("a", "b"))
        _run(one, "--strategy=one_device")
        _run(all_of_them, "--strategy=mirrored")
        return {"largest_difference": _difference(one, all_of_them)}


def _run(folder: pathlib.Path, *flags: str) -> None:
    command = [sys.executable, "run.py", *COMPARED, *flags]
    output_of([*command, f"--model_dir={folder}"])


def _difference(first: pathlib.Path, second: pathlib.Path) -> float:
    """Of any number in the last checkpoints of two runs."""
    import numpy as np
    import tensorflow as tf

    one, other = (
        tf.train.load_checkpoint(str(folder / "checkpoints" / "ckpt-20"))
        for folder in (first, second)
    )
    largest = 0.0
    for name in one.get_variable_to_shape_map():
        values = [np.asarray(part.get_tensor(name)) for part in (one, other)]
        if not name.startswith("_") and values[0].dtype.kind in "fiu":
            far = np.abs(np.subtract(*values, dtype=np.float64))
            largest = max(largest, float(far.max(initial=0)))
    return largest


def step(flags: str, options: Sequence[str]) -> dict:
    """Result of `one_step.py` for one configuration."""
    script = "benchmarks/speed/one_step.py"
    said = output_of([sys.executable, script, f"--flags={flags}", *options])
    return json.loads(said.splitlines()[-1])


def jpeg_input(options: Sequence[str]) -> dict:
    """Pairs per second that the host makes of JPEG files, at 224 pixels."""
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "found"
        command = [sys.executable, "benchmarks/speed/input_pipeline.py"]
        command += ["--sizes", "224", "--sources", "folder", *options]
        output_of([*command, f"--output={output}"])
        return json.loads(output.with_suffix(".json").read_text())


def torch_step(python: str, options: Sequence[str]) -> dict:
    """Pairs per second of PyTorch's step."""
    script = "benchmarks/speed/against/torch_resnet.py"
    said = output_of([python, script, *options])
    rates = [
        float(line.removeprefix("pairs/s: "))
        for line in said.splitlines()
        if line.startswith("pairs/s: ")
    ]
    return {"pairs_per_second": rates}


def parts(arguments: argparse.Namespace, found: dict) -> dict[str, Callable]:
    """{name: what it measures}, in the order in which they run."""
    timing = [f"--steps={arguments.steps}", f"--repeats={arguments.repeats}"]
    large = found["memory_bytes"] >= LARGE
    made: dict[str, Callable] = {
        "golden": lambda: golden(arguments.tests),
        "resume": resumed,
    }
    if len(found["capabilities"]) > 1:
        made["replicas"] = replicas
    configurations = [
        (case, precision, compiled)
        for compiled in (False, True)
        for precision in arguments.precisions
        for case in arguments.cases
    ]
    for case, precision, compiled in configurations:
        flags, many, few = CASES[case]
        batch = many if large else few
        flags = (
            f"{flags} --train_batch_size={batch} {PRECISIONS[precision]}"
            f" {'--jit_compile ' * compiled}{arguments.flags}"
        )
        name = f"step: {case}, {precision}{', compiled' * compiled}"
        made[name] = lambda flags=flags: step(
            flags, [*timing, f"--peak_side={arguments.peak_side}"]
        )
    made["input: JPEG, 224px"] = lambda: jpeg_input(arguments.input_options)
    if arguments.torch_python:
        for depth, size, batches in (
            (18, 32, (512, 256)),
            (50, 224, (256, 32)),
        ):
            options = [*timing, f"--depth={depth}", f"--image_size={size}"]
            options.append(f"--batch={batches[not large]}")
            made[f"torch: R{depth} {size}px"] = lambda options=options: (
                torch_step(arguments.torch_python, options)
            )
    return made


def main() -> None:
    """Runs what there is time for; prints and writes one JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--precisions", nargs="*", default=list(PRECISIONS))
    parser.add_argument("--flags", default="", help="Added to every step's.")
    parser.add_argument("--tests", nargs="*", default=["tests"])
    parser.add_argument("--peak_side", type=int, default=0)
    parser.add_argument(
        "--input_options",
        nargs="*",
        default=["--repeats=2", "--seconds=2"],
        help="Of input_pipeline.py.",
    )
    parser.add_argument("--torch_python", default="")
    parser.add_argument("--cpu", action="store_true", help="No GPU needed.")
    parser.add_argument("--output", default="runs/gpu")
    add_timing_options(parser)
    arguments = parser.parse_args()
    started = time.monotonic()
    found = machine()
    if not (found["capabilities"] or arguments.cpu):
        raise SystemExit(
            "TensorFlow sees no GPU here: install requirements-gpu.txt, or try"
            " the script itself with --cpu."
        )
    output = pathlib.Path(arguments.output).with_suffix(".json")
    output.parent.mkdir(parents=True, exist_ok=True)
    results: dict = {"machine": found, "parts": {}, "failed": {}, "not_run": []}
    for name, measure in parts(arguments, found).items():
        began = time.monotonic()
        if began - started > 60 * arguments.minutes:
            results["not_run"].append(name)
        else:
            try:
                results["parts"][name] = measure()
            except RuntimeError as error:
                results["failed"][name] = str(error)
            spent = time.monotonic() - began
            print(f"{name}: {spent:.0f} s", file=sys.stderr, flush=True)
        output.write_text(json.dumps(results, indent=2))
    print(json.dumps(results))
    if results["failed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
