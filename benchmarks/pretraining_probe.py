"""How to pretrain: short pretrainings, each followed by many small probes.

    python benchmarks/pretraining_probe.py --jobs=2 --output=runs/probe

Pretrains flags/fashion_mnist.cfg for a few epochs on a part of the training
images, as it is and with one change at a time. What has been learned is scored
on another part, in two ways: logistic regressions on the features with ten
labels per class, for twenty draws of labels, and fine-tuning as the recipe has
it, for three draws. No test image is used. Each change is a line of
OUTPUT/scores-JOB.jsonl; what is there is not run again. Ends with a table.
"""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys

import numpy as np
from pinned import die_with_parent
from score_lines import read_scores, score_missing
from spreads import mean_and_deviation

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tf_simclr import cli  # noqa: E402

RECIPE = ROOT / "flags" / "fashion_mnist.cfg"
PROBED = "train[50000:]"
PARTS = f"--train_split=train[:20000] --eval_split={PROBED}"
SHORT = (
    "--train_batch_size=256 --train_epochs=6 --warmup_epochs=1"
    " --optimizer=adam --learning_rate=0.002 --temperature=0.5"
    " --nolineareval_while_pretraining"
)
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


def pretrain(flags: str, folder: pathlib.Path) -> None:
    """A short pretraining with a change, where it has not ended."""
    run_recipe("--mode=pretrain", *SHORT.split(), *flags.split(), folder=folder)


def run_recipe(*flags: str, folder: pathlib.Path) -> dict[str, float]:
    """Runs run.py with the recipe on the parts; what `result.json` holds."""
    command = [sys.executable, str(ROOT / "run.py"), f"--flagfile={RECIPE}"]
    # Features are of one split, which a flag of its own names.
    parts = [] if "--mode=embed" in flags else PARTS.split()
    command += [*parts, *flags, "--noexport", f"--model_dir={folder}"]
    subprocess.run(command, check=True, preexec_fn=die_with_parent)
    result = folder / "result.json"
    return json.loads(result.read_text()) if result.exists() else {}


def own_flags(stage: str) -> list[str]:
    """The recipe's flags of one stage."""
    config = cli.parse_config(["run.py", f"--flagfile={RECIPE}"])
    return shlex.split(getattr(config.pipeline, f"{stage}_flags"))


def label_flags(count: int, seed: int) -> list[str]:
    """The choice of `count` labels per class."""
    return [f"--labels_per_class={count}", f"--label_seed={seed}"]


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
    finetuned = [
        run_recipe(
            "--mode=finetune",
            *own_flags("finetune"),
            *label_flags(LABELS, seed),
            *same,
            source,
            folder=folder.with_name(f"{folder.name}-finetuned-{seed}"),
        )["eval/label_top_1_accuracy"]
        for seed in range(LABEL_SEEDS)
    ]
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
