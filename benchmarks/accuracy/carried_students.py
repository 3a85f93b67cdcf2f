"""Students of carried labels on Fashion-MNIST, by number and choice of labels.

    python benchmarks/accuracy/carried_students.py --part=test

One pretraining without labels (flags/fashion_mnist.cfg with fewer epochs) is
shared. For each number of labels, way of choosing and seed the network is
fine-tuned on the labels, and with `--consistency NAME` trained consistently. A
student then learns from that network (`--targets network`), or from the labels
carried along features as `WAYS` says (`--targets labels`). Each cell is a line
of OUTPUT/PART/scores.jsonl; what is there is not run again. Ends with a table.

`WAYS` was chosen by `carried_ways.py`. --part=validation draws labels from the
first four fifths of the training images and scores on the others; --part=test
scores on the test images.
"""

import argparse
import csv
import itertools
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.recipe_runs import of_one_stage, recipe, run_program, top_1
from benchmarks.lib.spreads import mean_and_deviation

RECIPE = recipe("fashion_mnist.cfg")
CLASSES = 10
PARTS = {
    "validation": ["--train_split=train[:80%]", "--eval_split=train[80%:]"],
    "test": [],
}
CHOICES = {
    "class_balanced": "drawn class by class",
    "kmeans": "suggested by kmeans",
    "typiclust": "suggested by typiclust",
}
# Labels per class -> --propagate_labels, whether along the pretrained features,
# --propagation.
WAYS = {
    1: ("teacher", True, "poisson_mbo"),
    4: ("teacher", False, "poisson_mbo"),
    10: ("teacher", False, "poisson_mbo"),
    40: ("teacher", False, "spreading"),
}
# Name -> flags of consistency training; none: no such stage.
CONSISTENCY = {
    "none": [],
    "fixed": ["--confidence_rule=fixed"],
    "adaptive": ["--confidence_rule=adaptive"],
    "aligned": ["--confidence_rule=fixed", "--align_distribution=labels"],
}
# What names a cell in its line of scores.
KEYS = ("choice", "labels_per_class", "label_seed", "consistency", "targets")
# What a student learns -> title.
TARGETS = {"labels": "carried labels", "network": "the network"}
_CONSISTENCY_STEPS = 500
_CONSISTENCY_FLAGS = [
    "--mode=finetune",
    "--method=fixmatch",
    "--keep_head",
    "--ft_proj_selector=1",
    "--train_batch_size=256",
    "--learning_rate=0.0003",
    "--weight_ema=0.99",
]
# The largest batch of the stages that see labels only.
_LARGEST_BATCH = 100


class Study:
    """The runs of one part of the data in a folder.

    Args:
      output: the folder, whose pretraining all parts share.
      part: 'validation' or 'test'.
      pretrain_epochs, distill_epochs, consistency_steps: of these stages.
    """

    def __init__(
        self,
        output: pathlib.Path,
        part: str,
        pretrain_epochs: int,
        distill_epochs: int,
        consistency_steps: int,
    ):
        self._pretrained = output / "pretrain"
        self._features = output / "features" / "features.npz"
        self._epochs = pretrain_epochs, distill_epochs
        self._steps = consistency_steps
        self._part = PARTS[part]
        self._folder = output / part
        self._folder.mkdir(parents=True, exist_ok=True)
        self._scores = self._folder / "scores.jsonl"

    @property
    def scores(self) -> list[dict]:
        """All lines so far."""
        if not self._scores.exists():
            return []
        return [json.loads(x) for x in self._scores.read_text().splitlines()]

    def prepare(self) -> None:
        """The pretraining, and the features of the training images."""
        run_program(
            *of_one_stage("pretrain", RECIPE),
            f"--train_epochs={self._epochs[0]}",
            "--mode=pretrain",
            "--noexport",
            f"--model_dir={self._pretrained}",
        )
        if not self._features.exists():
            run_program(
                "--mode=embed",
                f"--checkpoint={self._pretrained}",
                "--map=none",
                f"--model_dir={self._features.parent}",
            )

    def run_cell(self, cell: dict) -> None:
        """Fine-tunes and distils as a cell (`KEYS`) says."""
        choice, count, seed, consistency, targets = (cell[x] for x in KEYS)
        started = time.monotonic()
        folder = self._folder / f"{choice}-{count}-{seed}"
        common = [
            *self._part,
            *self._labels(choice, count, seed, folder),
            "--noexport",
        ]
        teacher, student = folder / "finetune", folder / f"distill-{targets}"
        self._finetune(count, common, teacher)
        accuracy = {"finetuned": top_1(teacher)}
        if consistency != "none":
            trained = folder / f"consistency-{consistency}"
            self._train_consistently(consistency, common, teacher, trained)
            accuracy["consistency"] = top_1(trained)
            teacher = trained
            student = folder / f"distill-{consistency}-{targets}"
        self._distil(self._carried(count, targets), common, teacher, student)
        line = {
            **cell,
            "accuracy": {**accuracy, "student": top_1(student)},
            "seconds": round(time.monotonic() - started),
        }
        with self._scores.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _finetune(
        self, count: int, common: list[str], folder: pathlib.Path
    ) -> None:
        batch = min(_LARGEST_BATCH, count * CLASSES)
        run_program(
            *of_one_stage("finetune", RECIPE),
            *common,
            "--mode=finetune",
            f"--train_batch_size={batch}",
            f"--checkpoint={self._pretrained}",
            f"--model_dir={folder}",
        )

    def _train_consistently(
        self,
        setting: str,
        common: list[str],
        start: pathlib.Path,
        folder: pathlib.Path,
    ) -> None:
        run_program(
            *of_one_stage("consistency", RECIPE),
            *common,
            *_CONSISTENCY_FLAGS,
            *CONSISTENCY[setting],
            f"--train_steps={self._steps}",
            f"--checkpoint={start}",
            f"--model_dir={folder}",
        )

    def _distil(
        self,
        carried: list[str],
        common: list[str],
        teacher: pathlib.Path,
        folder: pathlib.Path,
    ) -> None:
        run_program(
            *of_one_stage("distill", RECIPE),
            *common,
            *carried,
            "--mode=distill",
            f"--teacher={teacher}",
            f"--train_epochs={self._epochs[1]}",
            f"--model_dir={folder}",
        )

    def _carried(self, count: int, targets: str) -> list[str]:
        """Flags that say what is carried along which features."""
        if targets == "network":
            return ["--propagate_labels=off"]
        carry, along_pretrained, propagation = WAYS[count]
        features = [f"--features={self._features}"] * along_pretrained
        return [
            *features,
            f"--propagate_labels={carry}",
            f"--propagation={propagation}",
            "--neighbour_search=approximate",
        ]

    def has(self, cell: dict) -> bool:
        """True if a cell has been run."""
        return any({x: line[x] for x in KEYS} == cell for line in self.scores)

    def _labels(
        self, choice: str, count: int, seed: int, folder: pathlib.Path
    ) -> list[str]:
        """Flags that choose the labelled images."""
        if choice == "class_balanced":
            return [f"--labels_per_class={count}", f"--label_seed={seed}"]
        run_program(
            f"--dataset={_value('dataset')}",
            f"--image_size={_value('image_size')}",
            *self._part[:1],
            "--mode=suggest",
            f"--suggest={choice}",
            "--ignore_labels",
            f"--features={self._features}",
            f"--label_budget={count * CLASSES}",
            f"--label_seed={seed}",
            f"--model_dir={folder / 'suggest'}",
        )
        table = folder / "suggest" / "to_label.csv"
        with table.open(newline="", encoding="utf-8") as file:
            ids = [row["path"] for row in csv.DictReader(file)]
        chosen = folder / "chosen.txt"
        chosen.write_text("\n".join(ids) + "\n")
        return ["--labels_per_class=0", f"--label_ids={chosen}"]


def _value(name: str) -> object:
    from tf_simclr import cli

    return getattr(cli.parse_config(["run.py", RECIPE]).data, name)


def table(scores: list[dict]) -> str:
    """Markdown: mean and standard deviation over label seeds."""
    lines = [
        "| labels | chosen | consistency training | student of | n | fine-tuned"
        " | trained consistently | student |",
        "|---:|---|---|---|---:|---:|---:|---:|",
    ]
    for row in itertools.product(CHOICES, WAYS, CONSISTENCY, TARGETS):
        choice, count, setting, targets = row
        cells = [
            line["accuracy"]
            for line in scores
            if (
                line["choice"],
                line["labels_per_class"],
                line["consistency"],
                line["targets"],
            )
            == row
        ]
        if not cells:
            continue
        means = (
            mean_and_deviation([cell[key] for cell in cells])
            if all(key in cell for cell in cells)
            else "-"
            for key in ("finetuned", "consistency", "student")
        )
        training = "-" if setting == "none" else setting
        lines.append(
            f"| {count * CLASSES} | {CHOICES[choice]} | {training} |"
            f" {TARGETS[targets]} | {len(cells)} | {' | '.join(means)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing; prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, default="validation")
    parser.add_argument("--labels", nargs="*", type=int, default=[*WAYS])
    parser.add_argument(
        "--choices", nargs="*", choices=CHOICES, default=[*CHOICES]
    )
    parser.add_argument(
        "--consistency", nargs="*", choices=CONSISTENCY, default=["none"]
    )
    parser.add_argument(
        "--targets", nargs="*", choices=TARGETS, default=["labels"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pretrain_epochs", type=int, default=8)
    parser.add_argument("--distill_epochs", type=int, default=2)
    parser.add_argument(
        "--consistency_steps", type=int, default=_CONSISTENCY_STEPS
    )
    parser.add_argument("--output", default="runs/carried_students")
    arguments = parser.parse_args()
    study = Study(
        pathlib.Path(arguments.output).resolve(),
        arguments.part,
        arguments.pretrain_epochs,
        arguments.distill_epochs,
        arguments.consistency_steps,
    )
    study.prepare()
    for seed in range(arguments.seeds):
        for choice, count, consistency, targets in itertools.product(
            arguments.choices,
            arguments.labels,
            arguments.consistency,
            arguments.targets,
        ):
            values = choice, count, seed, consistency, targets
            cell = dict(zip(KEYS, values, strict=True))
            if not study.has(cell):
                study.run_cell(cell)
    print(f"\n{table(study.scores)}")


if __name__ == "__main__":
    main()
