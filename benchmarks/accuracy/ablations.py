"""The worth of each choice in `ablation_studies.py`, over several seeds.

    python benchmarks/accuracy/ablations.py --jobs=2 --output=runs/ablations

Pretrains a small network for each setting, fine-tunes it on few labels, in one
study distills it, and scores on a part of the training images that none of
them has seen; a seed chooses weights, order, views and labels. Settings that
share a pretraining share its run. Each score is a line of a file
OUTPUT/scores-JOB.jsonl; what is there is not run again, so that the same
command goes on after any stop. Ends with a table for each study.

Processes are forked from one that has imported TensorFlow and used nothing of
it, which saves the import; each runs `run.py`'s own `main`.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shlex
import sys
import time
from collections.abc import Iterable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.ablation_studies import (
    DATA,
    FINETUNING,
    STUDENT,
    TITLES,
    Variant,
    variants,
)
from benchmarks.lib.ablation_tables import tables
from benchmarks.lib.forked_run import fork, load_program
from benchmarks.lib.paths import ROOT
from benchmarks.lib.pinned import run_pinned
from benchmarks.lib.recipe_runs import top_1
from benchmarks.lib.score_lines import read_scores
from tf_simclr import cli


@dataclasses.dataclass(frozen=True)
class Trial:
    """A variant on a data set, with a seed."""

    data: str
    variant: Variant
    seed: int

    @property
    def key(self) -> dict:
        """Names of a trial in a line of scores."""
        return {
            "data": self.data,
            "study": self.variant.study,
            "setting": self.variant.setting,
            "seed": self.seed,
        }

    def score(self, output: pathlib.Path) -> float:
        """Runs its stages, where they are missing; top-1 accuracy."""
        variant, data = self.variant, DATA[self.data]
        recipe = _recipe(data.recipe)
        labels = variant.labels or data.labels
        common = f"--seed={self.seed} --label_seed={self.seed} {data.flags}"
        pretrained = _run(
            output,
            f"--mode=pretrain {recipe.pretrain_flags} {data.pretrain}"
            f" {common} {variant.pretrain} --nolineareval_while_pretraining",
            data.recipe,
        )
        scored = finetuned = _run(
            output,
            f"--mode=finetune {recipe.finetune_flags} {FINETUNING}"
            f" {common} {_network(variant.pretrain)} {variant.finetune}"
            f" --train_batch_size={min(40, 10 * labels)}"
            f" --labels_per_class={labels} --checkpoint={pretrained}",
            data.recipe,
        )
        if variant.distill is None:
            return top_1(scored)
        text = (
            f"--mode=distill {recipe.distill_flags} {data.distill}"
            f" {common} --labels_per_class={labels}"
        )
        teacher, student = finetuned, f"{STUDENT} {variant.distill}"
        if variant.longer > 1:
            epochs = int(re.search(r"--train_epochs=(\d+)", data.distill)[1])
            student += f" --train_epochs={variant.longer * epochs}"
        if variant.student_pretrained:
            start = _run(
                output,
                f"--mode=pretrain {recipe.pretrain_flags} {data.pretrain}"
                f" {common} --nolineareval_while_pretraining {STUDENT}",
                data.recipe,
            )
            student += f" --checkpoint={start}"
        for _ in range(variant.rounds - 1):
            teacher = _run(
                output, f"{text} {data.flags} --teacher={teacher}", data.recipe
            )
        scored = _run(
            output, f"{text} {student} --teacher={teacher}", data.recipe
        )
        return top_1(scored)


def _network(pretrain: str) -> str:
    """Flags that describe the network; a recipe's own must not contradict
    its weights."""
    names = ("--width_multiplier=", "--sk_ratio=")
    return " ".join(word for word in pretrain.split() if word.startswith(names))


def _recipe(path: str):
    return cli.parse_config(["run.py", f"--flagfile={ROOT / path}"]).pipeline


def _run(output: pathlib.Path, text: str, recipe: str) -> pathlib.Path:
    """A run with these flags on top of a recipe's, unless it is there."""
    flags = [f"--flagfile={ROOT / recipe}", *shlex.split(text)]
    name = hashlib.sha256(f"{recipe} {text}".encode()).hexdigest()[:16]
    folder = output / "runs" / name
    if (folder / "done").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    command = ["run.py", *flags, f"--model_dir={folder}", "--noexport"]
    _, status = os.waitpid(fork(command, 1, log), 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise SystemExit(f"A run failed with {code}: see {log}")
    (folder / "done").touch()
    return folder


def run_share(
    trials: Iterable[Trial], output: pathlib.Path, part: pathlib.Path
) -> None:
    """Runs trials one after the other; adds their scores to a file."""
    for trial in trials:
        started = time.monotonic()
        line = {**trial.key, "top_1": trial.score(output)}
        line["seconds"] = round(time.monotonic() - started)
        with part.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)


def shares(trials: list[Trial], count: int) -> list[list[Trial]]:
    """Trials for each of `count` processes; those that share a pretraining
    stay together."""
    groups: dict[tuple, list[Trial]] = {}
    for trial in trials:
        key = (trial.data, trial.variant.pretrain, trial.seed)
        groups.setdefault(key, []).append(trial)
    found: list[list[Trial]] = [[] for _ in range(count)]
    for group in groups.values():
        min(found, key=len).extend(group)
    return found


def main() -> None:
    """Runs what is missing; prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", nargs="*", default=list(DATA), choices=DATA)
    parser.add_argument(
        "--studies", nargs="*", default=list(TITLES), choices=TITLES
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--output", default="runs/ablations")
    arguments = parser.parse_args()
    output = pathlib.Path(arguments.output).resolve()
    output.mkdir(parents=True, exist_ok=True)
    keys = [
        {key: line[key] for key in ("data", "study", "setting", "seed")}
        for line in read_scores(output)
    ]
    missing = [
        trial
        for data in arguments.data
        for seed in range(arguments.seeds)
        for variant in variants()
        if variant.study in arguments.studies
        for trial in [Trial(data, variant, seed)]
        if trial.key not in keys
    ]
    load_program()
    parts = shares(missing, arguments.jobs)

    def work(job: int) -> None:
        run_share(parts[job], output, output / f"scores-{job}.jsonl")

    complete = run_pinned(work, arguments.jobs)
    scores = read_scores(output)
    for study, text in tables(scores).items():
        print(f"\n### {TITLES[study]}\n\n{text}")
    sys.exit(int(not complete))


if __name__ == "__main__":
    main()
