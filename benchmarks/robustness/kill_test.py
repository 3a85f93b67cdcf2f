"""Kills runs at random moments and compares what they end with.

    python benchmarks/robustness/kill_test.py --trials=60

Each trial starts a small run of a stage with --deterministic, ends it with
SIGKILL (at any moment, in the middle of training, or while files are being
written), perhaps again, and repeats the same command until the run is done.
Then the last checkpoint's tensors, the list of checkpoints, metrics.jsonl,
result.json, labels.json and best.json must be, bit for bit, those of a run
that nothing happened to. Prints a table; exits with 1 at any difference. The
same command goes on with the trials that are missing.

Processes are forked from one that has imported TensorFlow and used nothing of
it, which saves the import; each runs `run.py`'s own `main`.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.forked_run import fork, load_program
from benchmarks.lib.killed_process import (
    KINDS,
    finish,
    first_step,
    moment,
    unfinished,
)
from benchmarks.lib.pinned import die_with_parent

# Each stage, and those whose weights it starts or learns from.
STAGES = {
    "pretrain": (),
    "finetune": ("pretrain",),
    "distill": ("pretrain", "finetune"),
}
FLAGS = [
    "--resnet_depth=18",
    "--width_multiplier=0.05",
    "--image_size=8",
    "--proj_out_dim=16",
    "--train_batch_size=8",
    "--train_steps=12",
    "--warmup_epochs=1",
    "--checkpoint_steps=2",
    "--keep_checkpoint_max=2",
    "--log_every_steps=3",
    "--eval_every_epochs=1",
    "--deterministic",
]
COMPARED = ("metrics.jsonl", "result.json", "labels.json", "best.json")


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of run: a stage, on parts of the CPU as so many devices."""

    stage: str
    devices: int

    @property
    def name(self) -> str:
        """Of its folder and row."""
        return f"{self.stage}-{self.devices}"

    def command(self, output: pathlib.Path, folder: pathlib.Path) -> list[str]:
        """The arguments of run.py."""
        references = output / "reference"
        start = {
            "pretrain": [],
            "finetune": [f"--checkpoint={references / 'pretrain-1'}"],
            "distill": [f"--teacher={references / 'finetune-1'}"],
        }[self.stage]
        strategy = "mirrored" if self.devices > 1 else "one_device"
        return [
            "run.py",
            f"--mode={self.stage}",
            f"--dataset={output / 'small.npz'}",
            f"--model_dir={folder}",
            *FLAGS,
            *start,
            f"--strategy={strategy}",
        ]


def write_images(path: pathlib.Path) -> None:
    """24 training and 7 test images of three classes, each of one hue."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 24), ("test", 7)):
        classes = np.arange(count) % 3
        images = rng.integers(0, 100, (count, 8, 8, 3), dtype=np.uint8)
        images[np.arange(count), :, :, classes] += 150
        arrays |= {f"x_{split}": images, f"y_{split}": classes}
    np.savez(path, **arrays)


def make_reference(case: Case, output: pathlib.Path) -> dict[str, float]:
    """An undisturbed run; returns how long it and its training took."""
    folder = output / "reference" / case.name
    note = output / "reference" / f"{case.name}.json"
    if not note.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        begun = first_step(folder)
        since: list[float] = []

        def watch() -> bool:
            if not since and begun():
                since.append(time.monotonic())
            return False

        started = time.monotonic()
        log = output / "reference" / f"{case.name}.log"
        code = finish(
            fork(case.command(output, folder), case.devices, log), watch
        )
        if code != 0:
            sys.exit(f"The undisturbed run failed with {code}: see {log}")
        ended = time.monotonic()
        took = {
            "seconds": ended - started,
            "training_seconds": ended - since[0],
        }
        note.write_text(json.dumps(took))
    return json.loads(note.read_text())


def difference(expected: pathlib.Path, found: pathlib.Path) -> str:
    """The first thing in which two finished runs differ; '' if none."""
    for name in COMPARED:
        texts = [
            (folder / name).read_bytes() if (folder / name).exists() else b""
            for folder in (expected, found)
        ]
        if texts[0] != texts[1]:
            return name
    states = [_state(folder) for folder in (expected, found)]
    if list(states[0]) != list(states[1]):
        return "the checkpoints"
    for key, value in states[0].items():
        if not np.array_equal(value, states[1][key]):
            return key
    return ""


def _state(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """All tensors of all checkpoints that were kept."""
    import tensorflow as tf

    from tf_simclr import manifests

    state = {}
    checkpoints = str(folder / "checkpoints")
    for step in manifests.manifest_steps(checkpoints):
        reader = tf.train.load_checkpoint(manifests.prefix(checkpoints, step))
        for key in sorted(reader.get_variable_to_shape_map()):
            state[f"{step}/{key}"] = np.array(reader.get_tensor(key))
    return state


def run_trial(
    number: int, case: Case, output: pathlib.Path, most_kills: int
) -> dict[str, Any]:
    """Kills a run at least once and continues it to its end."""
    reference = make_reference(case, output)
    rng = np.random.default_rng(number)
    folder = output / "trials" / f"{number:04d}"
    log = output / "trials" / f"{number:04d}.log"
    kills: list[dict[str, Any]] = []
    code: int | None = None
    while not kills:
        shutil.rmtree(folder, ignore_errors=True)
        log.unlink(missing_ok=True)
        code = None
        wanted = int(rng.integers(1, most_kills + 1))
        while code is None:
            kind = KINDS[(number + len(kills)) % len(KINDS)]
            due = moment(kind, folder, reference, rng)
            if len(kills) == wanted:
                due = _never
            before = unfinished(folder)
            code = finish(
                fork(case.command(output, folder), case.devices, log), due
            )
            if code is None:
                torn = bool(unfinished(folder) - before)
                kills.append({"kind": kind, "in_mid_write": torn})
    expected = output / "reference" / case.name
    differs = f"exit code {code}" if code else difference(expected, folder)
    if not differs:
        shutil.rmtree(folder)
        log.unlink()
    return {"case": case.name, "kills": kills, "difference": differs}


def _never() -> bool:
    return False


def run_share(
    numbers: Iterable[int],
    cases: list[Case],
    output: pathlib.Path,
    most_kills: int,
) -> None:
    """Runs some of the trials, one after the other."""
    for number in numbers:
        note = output / "trials" / f"{number:04d}.json"
        if note.exists():
            continue
        case = cases[number % len(cases)]
        result = run_trial(number, case, output, most_kills)
        note.write_text(json.dumps(result))
        verdict = result["difference"] or "identical"
        print(
            f"trial {number}: {case.name}, killed {len(result['kills'])}"
            f" times, {verdict}",
            flush=True,
        )


def table(cases: list[Case], results: list[dict[str, Any]]) -> str:
    """One row per case."""
    lines = [
        "| stage | devices | runs | kills | in mid-write | identical |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for case in cases:
        rows = [r for r in results if r["case"] == case.name]
        kills = [kill for row in rows for kill in row["kills"]]
        torn = sum(kill["in_mid_write"] for kill in kills)
        same = sum(not row["difference"] for row in rows)
        lines.append(
            f"| {case.stage} | {case.devices} | {len(rows)} | {len(kills)} |"
            f" {torn} | {same} |"
        )
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--output", default="runs/kill_test")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--devices", default="1,2")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time")
    parser.add_argument("--most_kills", type=int, default=3, help="of a run")
    return parser.parse_args()


def main() -> int:
    """Runs what is missing and prints the table; returns the exit code."""
    arguments = parse_arguments()
    load_program()
    devices = [int(number) for number in arguments.devices.split(",")]
    cases = [
        Case(stage, number)
        for stage in arguments.stages.split(",")
        for number in devices
    ]
    output = pathlib.Path(arguments.output).resolve()
    (output / "trials").mkdir(parents=True, exist_ok=True)
    if not (output / "small.npz").exists():
        write_images(output / "small.npz")
    for stage in STAGES:
        if any(stage in STAGES[case.stage] for case in cases):
            make_reference(Case(stage, 1), output)
    for case in cases:
        make_reference(case, output)
    workers = []
    # Not pinned: with other cores than the references they would add up in
    # another order.
    for job in range(arguments.jobs):
        worker = os.fork()
        if not worker:
            die_with_parent()
            numbers = range(job, arguments.trials, arguments.jobs)
            with contextlib.suppress(KeyboardInterrupt):
                run_share(numbers, cases, output, arguments.most_kills)
            os._exit(0)
        workers.append(worker)
    for worker in workers:
        os.waitpid(worker, 0)
    notes = sorted((output / "trials").glob("*.json"))
    results = [json.loads(note.read_text()) for note in notes]
    (output / "kill_test.json").write_text(json.dumps(results, indent=2))
    print(f"\n{table(cases, results)}")
    failed = [r["difference"] for r in results if r["difference"]]
    return int(bool(failed) or len(results) < arguments.trials)


if __name__ == "__main__":
    sys.exit(main())
