"""Settings of pretraining, compared by short runs with many small probes each.

    python benchmarks/accuracy/pretraining_probe.py --jobs=2 --output=runs/probe

Pretrains flags/fashion_mnist.cfg for a few epochs on a part of the training
images, as it is and with one change at a time. What has been learned is scored
on another part, in two ways: logistic regressions on the features with ten
labels per class, for twenty draws of labels, and fine-tuning as the recipe has
it, for three draws. No test image is used. Each change is a line of
OUTPUT/scores-JOB.jsonl; what is there is not run again. Ends with a table.
"""

import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.recipe_runs import top_1
from benchmarks.lib.score_lines import read_scores, score_missing
from benchmarks.lib.short_runs import (
    PROBED,
    label_flags,
    own_flags,
    pretrain,
    run_recipe,
)
from benchmarks.lib.spreads import mean_and_deviation

# What is changed -> flags.
CHANGES = {
    "none": "",
    "LAMB at 0.01 instead of Adam at 0.002": (
        "--optimizer=lamb --learning_rate=0.01"
    ),
    "LARS at 1": "--optimizer=lars --learning_rate=1",
    "LARS at 3": "--optimizer=lars --learning_rate=3",
    "jitter 0.5 instead of 1": "--color_jitter_strength=0.5",
    "temperature 0.3 instead of 0.5": "--temperature=0.3",
    "crops from 0.35 of the image instead of 0.5": "--crop_min_area=0.35",
    "CIFAR stem at 28 pixels, a quarter of the width": (
        "--stem=cifar --image_size=28 --width_multiplier=0.25"
    ),
}
DRAWS = 20
# Of fine-tuning, which costs more.
LABEL_SEEDS = 3
LABELS = 10
# Regularization: strong, of 100 labels and hundreds of features.
_STRENGTH = 0.01


def probe(features: np.ndarray, labels: np.ndarray) -> list[float]:
    """Accuracies of logistic regressions, one for each draw of labels.

    Args:
      features: (N, d).
      labels: int (N,); what is not drawn is scored on.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rows = StandardScaler().fit_transform(features)
    found = []
    for seed in range(DRAWS):
        order = np.random.default_rng(seed).permutation(len(labels))
        drawn = np.concatenate(
            [
                order[labels[order] == name][:LABELS]
                for name in np.unique(labels)
            ]
        )
        rest = np.setdiff1d(order, drawn)
        model = LogisticRegression(C=_STRENGTH, max_iter=500)
        model.fit(rows[drawn], labels[drawn])
        found.append(float(model.score(rows[rest], labels[rest])))
    return found


def score(item: dict, folder: pathlib.Path) -> dict[str, list[float]]:
    """Pretrains with a change and scores what has been learned."""
    flags = item["flags"]
    pretrain(flags, folder)
    # A network is what its weights are of; what else was changed is not.
    same = [x for x in flags.split() if x.startswith(_NETWORK)]
    source = f"--checkpoint={folder}"
    embedded = folder.with_name(f"{folder.name}-features")
    run_recipe(
        "--mode=embed",
        source,
        f"--embed_split={PROBED}",
        "--map=none",
        *same,
        folder=embedded,
    )
    with np.load(embedded / "features.npz") as stored:
        found = probe(stored["features"], stored["labels"])
    finetuned = []
    for seed in range(LABEL_SEEDS):
        target = folder.with_name(f"{folder.name}-finetuned-{seed}")
        run_recipe(
            "--mode=finetune",
            *own_flags("finetune"),
            *label_flags(LABELS, seed),
            *same,
            source,
            folder=target,
        )
        finetuned.append(top_1(target))
    return {"probes": [round(x, 4) for x in found], "finetuned": finetuned}


_NETWORK = ("--stem", "--image_size", "--width_multiplier", "--sk_ratio")


def table(scores: list[dict]) -> str:
    """Mean and standard deviation over draws, and the lead over the first."""
    found = {line["flags"]: line for line in scores}
    lines = [
        "| change | logistic regression | against none | fine-tuned |"
        " against none |",
        "|---|---:|---:|---:|---:|",
    ]
    nothing: dict = {"probes": [], "finetuned": []}
    first = found.get("", nothing)
    for title, flags in CHANGES.items():
        ours = found.get(flags, nothing)
        cells = [title]
        for what in nothing:
            pairs = zip(ours[what], first[what], strict=False)
            leads = [a - b for a, b in pairs]
            cells.append(mean_and_deviation(ours[what]))
            cells.append(mean_and_deviation(leads) if flags else "-")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Runs what is missing, prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--output", default="runs/probe")
    arguments = parser.parse_args()
    output = pathlib.Path(arguments.output).resolve()
    items = [{"flags": flags} for flags in CHANGES.values()]
    complete = score_missing(items, score, output, arguments.jobs)
    print(f"\n{table(read_scores(output))}")
    return int(not complete)


if __name__ == "__main__":
    sys.exit(main())
