"""How to pretrain: short pretrainings, each followed by many small probes.

    python benchmarks/pretraining_probe.py --jobs=2 --output=runs/probe

Pretrains flags/fashion_mnist.cfg for a few epochs on a part of the training
images with LARS, and with one change at a time, embeds another part, and fits
logistic regressions to ten labels per class of it, for twenty draws of labels.
No test image is used. Each change is a line of OUTPUT/scores-JOB.jsonl; what is
there is not run again. Ends with a table.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys

import numpy as np
from pinned import die_with_parent
from score_lines import read_scores, score_missing
from spreads import mean_and_deviation

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "flags" / "fashion_mnist.cfg"
PROBED = "train[50000:]"
SHORT = (
    "--train_split=train[:20000] --eval_split=train[50000:]"
    " --train_batch_size=256 --train_epochs=6 --warmup_epochs=1"
    " --optimizer=lars --learning_rate=3"
    " --nolineareval_while_pretraining --noexport"
)
# What is changed -> flags.
CHANGES = {
    "none": "",
    "Adam at 0.002 instead of LARS at 3": (
        "--optimizer=adam --learning_rate=0.002"
    ),
    "LARS at 1": "--learning_rate=1",
    "LAMB at 0.01": "--optimizer=lamb --learning_rate=0.01",
    "jitter 0.5 instead of 1": "--color_jitter_strength=0.5",
    "jitter 1.6": "--color_jitter_strength=1.6",
    "temperature 0.3 instead of 0.5": "--temperature=0.3",
    "temperature 1": "--temperature=1",
    "crops from 0.35 of the image instead of 0.5": "--crop_min_area=0.35",
    "rotation, shear and shift, too": (
        "--rotate_degrees=10 --shear_degrees=5 --translate_fraction=0.05"
    ),
    "CIFAR stem at 28 pixels, a quarter of the width": (
        "--stem=cifar --image_size=28 --width_multiplier=0.25"
    ),
    "selective kernels": "--sk_ratio=0.0625",
    "the full width": "--width_multiplier=1",
    "12 epochs instead of 6": "--train_epochs=12",
    "24 epochs": "--train_epochs=24",
}
DRAWS = 20
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


def score(item: dict, folder: pathlib.Path) -> list[float]:
    """Pretrains with a change and probes what has been learned."""
    flags = [*SHORT.split(), *item["flags"].split()]
    _run("--mode=pretrain", *flags, f"--model_dir={folder}")
    embedded = folder.with_name(f"{folder.name}-features")
    _run(
        "--mode=embed",
        f"--checkpoint={folder}",
        f"--embed_split={PROBED}",
        "--map=none",
        f"--model_dir={embedded}",
    )
    with np.load(embedded / "features.npz") as stored:
        found = probe(stored["features"], stored["labels"])
    return [round(x, 4) for x in found]


def _run(*flags: str) -> None:
    command = [sys.executable, str(ROOT / "run.py"), f"--flagfile={RECIPE}"]
    subprocess.run([*command, *flags], check=True, preexec_fn=die_with_parent)


def table(scores: list[dict]) -> str:
    """Mean and standard deviation over draws, and the lead over the first."""
    found = {line["flags"]: line for line in scores}
    lines = [
        "| change | accuracy | against none | time |",
        "|---|---:|---:|---:|",
    ]
    nothing = {"top_1": [], "seconds": 0}
    first = found.get("", nothing)
    for title, flags in CHANGES.items():
        ours = found.get(flags, nothing)
        leads = [
            a - b for a, b in zip(ours["top_1"], first["top_1"], strict=False)
        ]
        cells = [
            title,
            mean_and_deviation(ours["top_1"]),
            mean_and_deviation(leads) if flags else "-",
            f"{ours['seconds'] / 60:.1f} min",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mean_lead(scores: list[dict], title: str) -> float:
    """Of a change over none, in points."""
    found = {line["flags"]: statistics.mean(line["top_1"]) for line in scores}
    return 100 * (found[CHANGES[title]] - found[""])


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
