"""Settings of fine-tuning, self-distillation and supervised training, compared.

    python benchmarks/accuracy/finetuning_probe.py --jobs=2

Takes the short pretraining of `pretraining_probe.py` without a change, and
trains on a few labels of the same images: fine-tuning, training from random
weights, self-distillation, each as flags/fashion_mnist.cfg has it and with one
change at a time. No test image is used. Each change and label seed is a line of
OUTPUT/scores-JOB.jsonl; what is there is not run again. Ends with a table.
"""

import argparse
import functools
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.recipe_runs import top_1
from benchmarks.lib.score_lines import read_scores, run_folder, score_missing
from benchmarks.lib.short_runs import (
    label_flags,
    own_flags,
    pretrain,
    run_recipe,
)
from benchmarks.lib.spreads import mean_and_deviation

# Stage -> its title, and what the pipeline sets for it.
STAGES = {
    "finetune": ("fine-tuned", "--mode=finetune"),
    "supervised": ("supervised only", "--mode=finetune --from_scratch"),
    "self_distill": (
        "self-distilled",
        "--mode=distill --distillation_temperature=0.1",
    ),
}
# Stage -> what is changed -> flags.
CHANGES = {
    "finetune": {
        "none": "",
        "from head layer 0 instead of 1": "--ft_proj_selector=0",
        "from head layer 2": "--ft_proj_selector=2",
        "from head layer 3": "--ft_proj_selector=3",
        "a third of the learning rate": "--learning_rate=0.0001",
        "three times the learning rate": "--learning_rate=0.001",
        "three times the steps": "--train_steps=900",
        "crops from 0.35 of the image instead of 0.6": "--crop_min_area=0.35",
        "crops from 0.9": "--crop_min_area=0.9",
    },
    "supervised": {
        "none": "",
        "a third of the learning rate": "--learning_rate=0.0003",
        "three times the learning rate": "--learning_rate=0.003",
        "three times the steps": "--train_steps=1200",
        "crops from 0.9 of the image instead of 0.6": "--crop_min_area=0.9",
    },
    "self_distill": {
        "none": "",
        "temperature 0.5 instead of 0.1": "--distillation_temperature=0.5",
    },
}


def score(
    pretrained: pathlib.Path,
    output: pathlib.Path,
    item: dict,
    folder: pathlib.Path,
) -> dict[str, float]:
    """Trains as an item says."""
    stage = item["stage"]
    _, presets = STAGES[stage]
    sources = {"checkpoint": pretrained}
    if stage == "supervised":
        sources = {}
    if stage == "self_distill":
        taught = {**item, "stage": "finetune", "flags": ""}
        sources["teacher"] = run_folder(output, taught)
    run_recipe(
        *presets.split(),
        *own_flags(stage),
        *label_flags(item["labels_per_class"], item["label_seed"]),
        *item["flags"].split(),
        *(f"--{name}={path}" for name, path in sources.items()),
        folder=folder,
    )
    return {"top_1": top_1(folder)}


def table(scores: list[dict]) -> str:
    """Mean and deviation over label seeds, and the lead over no change."""
    found: dict[tuple, dict[int, float]] = {}
    for line in scores:
        key = line["labels_per_class"], line["stage"], line["flags"]
        found.setdefault(key, {})[line["label_seed"]] = line["top_1"]
    lines = [
        "| labels per class | stage | change | accuracy | against none |",
        "|---:|---|---|---:|---:|",
    ]
    for count in sorted({line["labels_per_class"] for line in scores}):
        for stage, changes in CHANGES.items():
            first = found.get((count, stage, ""), {})
            for title, flags in changes.items():
                ours = found.get((count, stage, flags), {})
                if not ours:
                    continue
                leads = [ours[x] - first[x] for x in ours if x in first]
                cells = [
                    str(count),
                    STAGES[stage][0],
                    title,
                    mean_and_deviation(list(ours.values())),
                    mean_and_deviation(leads) if flags else "-",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs what is missing, prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--labels", nargs="*", type=int, default=[10])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--output", default="runs/finetuning")
    arguments = parser.parse_args()
    output = pathlib.Path(arguments.output).resolve()
    pretrained = output / "pretrain"
    pretrain("", pretrained)
    complete = True
    # A teacher comes before its students.
    for stages in (["finetune", "supervised"], ["self_distill"]):
        items = [
            {
                "labels_per_class": count,
                "stage": stage,
                "flags": flags,
                "label_seed": seed,
            }
            for count in arguments.labels
            for stage in stages
            for flags in CHANGES[stage].values()
            for seed in range(arguments.seeds)
        ]
        work = functools.partial(score, pretrained, output)
        complete &= score_missing(items, work, output, arguments.jobs)
    print(f"\n{table(read_scores(output))}")
    return int(not complete)


if __name__ == "__main__":
    sys.exit(main())
