"""Accuracy by labels per class: the three stages beside what else there is.

    python benchmarks/accuracy/label_efficiency.py --part=test --jobs=2

One pretraining without labels is shared by all. For each number of labels per
class and each label seed, a pipeline of flags/fashion_mnist.cfg runs the
supervised baseline, linear evaluation, fine-tuning from head layer 1,
self-distillation and distillation; fine-tuning from head layer 0 and the
classical methods (`classical_baselines.py`) take the same labels. Each score is
a line of OUTPUT/PART/scores.jsonl; what is there is not run again, so that the
same command goes on after any stop. Ends with a table, and
OUTPUT/PART/accuracy-CHOICE.png.

With --jobs=2 the pretraining runs alone, then two cells at a time, each on half
of the cores.

--choice=suggest spends as many labels, in all, on images that the pipeline
chooses, and random on any; each has scores of its own, on the same pretraining.

--part=validation, for choosing, trains on the first four fifths of the training
images and scores on the others; --part=test trains on all of them and scores on
the test images. Each has its own pretraining. Flags of `run.py` may follow.
"""

import argparse
import functools
import json
import pathlib
import shutil
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.classical_baselines import METHODS as CLASSICAL
from benchmarks.lib.classical_baselines import ClassicalBaselines
from benchmarks.lib.pinned import run_pinned
from benchmarks.lib.recipe_runs import (
    of_one_stage,
    read_result,
    recipe,
    run_program,
    top_1,
)
from benchmarks.lib.spreads import mean_and_deviation
from tf_simclr import cli, process

# Key -> title, in the order of the table.
METHODS = {
    "supervised": "supervised only",
    **CLASSICAL,
    "carried": "labels carried along the pretrained features",
    "linear": "linear evaluation",
    "finetuned_layer_0": "fine-tuned from head layer 0",
    "finetuned": "fine-tuned from head layer 1 (teacher)",
    "self_distilled": "self-distilled",
    "distilled": "distilled student",
}
PARTS = {
    "validation": ["--train_split=train[:80%]", "--eval_split=train[80%:]"],
    "test": [],
}
BALANCED = "class_balanced"
CHOICES = (BALANCED, "suggest", "random")
# The largest batch of the stages that see labels only.
_LARGEST_BATCH = 100


class Study:
    """The runs of one part of the data in a folder.

    Args:
      output: the folder.
      part: 'validation' or 'test'.
      flags: more flags of `run.py`.
      choice: a value of --label_choice.
    """

    def __init__(
        self,
        output: pathlib.Path,
        part: str,
        flags: list[str],
        choice: str = BALANCED,
    ):
        self._output = output / part
        self._output.mkdir(parents=True, exist_ok=True)
        self._flags = [recipe("fashion_mnist.cfg"), *PARTS[part], *flags]
        self._choice = choice
        name = "" if choice == BALANCED else f"{choice}-"
        self._prefix = name
        self._scores = self._output / f"{name}scores.jsonl"

    @property
    def scores(self) -> list[dict]:
        """All lines so far."""
        if not self._scores.exists():
            return []
        return [json.loads(x) for x in self._scores.read_text().splitlines()]

    def pretrain(self) -> None:
        """The pretraining that all cells share, where it has not ended."""
        run_program(
            *of_one_stage("pretrain", *self._flags),
            "--mode=pretrain",
            "--noexport",
            f"--model_dir={self._shared}",
        )

    def run_cell(self, count: int, seed: int) -> None:
        """All methods with `count` labels per class, once pretrained."""
        started = time.monotonic()
        folder = self._output / f"{self._prefix}{count}-{seed}"
        _copy(self._shared, folder / "pretrain")
        found = self._pipeline(count, seed, folder)
        if self._choice == BALANCED:
            found["finetuned_layer_0"] = self._layer_0(count, seed, folder)
        found |= self._classical(folder)
        seconds = time.monotonic() - started
        cell = {"labels_per_class": count, "label_seed": seed}
        lines = [
            {**cell, "method": method, "top_1": found[method]}
            | {"seconds_of_all": round(seconds)}
            for method in METHODS
            if method in found
        ]
        with self._scores.open("a") as file:
            # At once: half a cell would be run, and written, again.
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def missing(self, cells: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Pairs (labels per class, label seed) that have no scores yet."""
        done = {
            (line["labels_per_class"], line["label_seed"])
            for line in self.scores
        }
        return [cell for cell in cells if cell not in done]

    @property
    def _shared(self) -> pathlib.Path:
        return self._output / "pretrain"

    def _common(self, count: int, seed: int) -> list[str]:
        budget = count * self._classes
        batch = min(_LARGEST_BATCH, budget)
        drawn = [f"--labels_per_class={count}"]
        if self._choice != BALANCED:
            drawn = [
                "--labels_per_class=0",
                f"--label_choice={self._choice}",
                f"--label_budget={budget}",
            ]
        return [
            *self._flags,
            *drawn,
            f"--label_seed={seed}",
            f"--train_batch_size={batch}",
        ]

    def _pipeline(self, count: int, seed: int, folder: pathlib.Path) -> dict:
        flags = [*self._common(count, seed), "--noexport"]
        run_program(*flags, f"--model_dir={folder}")
        ending = "_top_1"
        return {
            key.removesuffix(ending): value
            for key, value in read_result(folder).items()
            if key.endswith(ending)
        }

    def _layer_0(self, count: int, seed: int, folder: pathlib.Path) -> float:
        target = folder / "finetune_layer_0"
        run_program(
            *of_one_stage("finetune", *self._common(count, seed)),
            "--mode=finetune",
            "--ft_proj_selector=0",
            "--noexport",
            f"--checkpoint={folder / 'pretrain'}",
            f"--model_dir={target}",
        )
        return top_1(target)

    def _classical(self, folder: pathlib.Path) -> dict:
        labels = json.loads((folder / "finetune" / "labels.json").read_text())
        ids = self.splits.train.ids
        places = {name: index for index, name in enumerate(ids)}
        indices = np.array([places[name] for name in labels["ids"]])
        return self._baselines.scores(indices, np.array(labels["labels"]))

    @functools.cached_property
    def splits(self):
        """The images."""
        process.import_tensorflow()
        from tf_simclr.data.sources.open import open_dataset

        config = cli.parse_config(["run.py", *self._flags])
        return open_dataset(config.data)

    @functools.cached_property
    def _baselines(self) -> ClassicalBaselines:
        train, test = self.splits.train, self.splits.evaluation
        return ClassicalBaselines(
            train.pixels.array, test.pixels.array, test.labels
        )

    @property
    def _classes(self) -> int:
        return len(self.splits.train.class_names)


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a folder, whole or not at all, where there is none yet."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished)
    unfinished.rename(target)


def collected(scores: list[dict]) -> dict[str, dict[int, list[float]]]:
    """{method: {labels per class: its scores}}."""
    found: dict[str, dict[int, list[float]]] = {name: {} for name in METHODS}
    for line in scores:
        counts = found[line["method"]]
        counts.setdefault(line["labels_per_class"], []).append(line["top_1"])
    return found


def table(scores: list[dict]) -> str:
    """Mean and standard deviation over label seeds, a column per number."""
    found = collected(scores)
    counts = sorted({line["labels_per_class"] for line in scores})
    titles = [f"{count} per class" for count in counts]
    lines = [
        f"| method | {' | '.join(titles)} |",
        f"|---|{'---:|' * len(counts)}",
    ]
    for method, title in METHODS.items():
        if not found[method]:
            continue
        cells = [
            mean_and_deviation(found[method].get(count, [])) for count in counts
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    seeds = {count: len(found["distilled"].get(count, [])) for count in counts}
    numbers = ", ".join(f"{n} for {count}" for count, n in seeds.items())
    return "\n".join([*lines, "", f"Label seeds per cell: {numbers}."])


def draw(scores: list[dict], path: pathlib.Path) -> None:
    """Accuracy against labels per class, with standard deviations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for index, (method, counts) in enumerate(collected(scores).items()):
        points = sorted(counts.items())
        means = [np.mean(values) for _, values in points]
        spread = [
            np.std(values, ddof=1) if len(values) > 1 else 0.0
            for _, values in points
        ]
        axes.errorbar(
            [count for count, _ in points],
            means,
            spread,
            label=METHODS[method],
            color=f"C{index}",
            linestyle=":" if method in CLASSICAL else "-",
            marker="o",
            markersize=4,
            capsize=3,
        )
    axes.set_xscale("log")
    ticks = sorted({line["labels_per_class"] for line in scores})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("labels per class")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Runs what is missing; prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--labels", nargs="*", type=int, default=[10, 40, 1, 4, 100]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time")
    parser.add_argument("--part", choices=PARTS, default="validation")
    parser.add_argument("--choice", choices=CHOICES, default=BALANCED)
    parser.add_argument("--output", default="runs/label_efficiency")
    arguments, flags = parser.parse_known_args()
    output = pathlib.Path(arguments.output).resolve()
    study = Study(output, arguments.part, flags, arguments.choice)
    study.pretrain()
    cells = study.missing(
        [
            (count, seed)
            for seed in range(arguments.seeds)
            for count in arguments.labels
        ]
    )

    def share(job: int) -> None:
        for count, seed in cells[job :: arguments.jobs]:
            study.run_cell(count, seed)

    complete = run_pinned(share, arguments.jobs)
    print(f"\n{table(study.scores)}")
    name = f"accuracy-{arguments.choice}.png"
    draw(study.scores, output / arguments.part / name)
    sys.exit(int(not complete))


if __name__ == "__main__":
    main()
