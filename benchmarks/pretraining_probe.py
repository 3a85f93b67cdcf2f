"""Which views to pretrain with: a short pretraining and many small probes.

    python benchmarks/pretraining_probe.py --jobs=2 --output=runs/probe

Pretrains flags/fashion_mnist.cfg for a few epochs on a part of the training
images with each setting, embeds another part, and fits logistic regressions to
ten labels per class of it, for twenty draws of labels. No test image is used.
Each setting is a line of OUTPUT/scores-JOB.jsonl; what is there is not run
again. Ends with a table.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time

import numpy as np
from pinned import die_with_parent, run_pinned
from score_lines import read_scores
from spreads import mean_and_deviation

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = ROOT / "flags" / "fashion_mnist.cfg"
PROBED = "train[50000:]"
SHORT = (
    "--train_split=train[:20000] --eval_split=train[50000:]"
    " --train_batch_size=256 --train_epochs=6 --warmup_epochs=1"
    " --learning_rate=0.002 --nolineareval_while_pretraining --noexport"
)
# What differs: jitter's strength, NT-Xent's temperature, the smallest crop,
# and what is named.
BASE = {"color_jitter_strength": 0.5, "temperature": 0.5, "crop_min_area": 0.5}
LEANING = {"rotate_degrees": 10, "shear_degrees": 5, "translate_fraction": 0.05}
SETTINGS = [
    BASE,
    {**BASE, **LEANING},
    {**BASE, "temperature": 1.0},
    {**BASE, "color_jitter_strength": 1.0},
    {**BASE, "color_jitter_strength": 1.6},
    {**BASE, "color_jitter_strength": 1.0, "temperature": 0.3},
    {**BASE, "color_jitter_strength": 1.0, "crop_min_area": 0.35},
]
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


def score(setting: dict[str, float], folder: pathlib.Path) -> list[float]:
    """Pretrains with a setting and probes what it has learned."""
    flags = [f"--{name}={value}" for name, value in setting.items()]
    _run("--mode=pretrain", *SHORT.split(), *flags, f"--model_dir={folder}")
    embedded = folder.with_name(f"{folder.name}-features")
    _run(
        "--mode=embed",
        f"--checkpoint={folder}",
        f"--embed_split={PROBED}",
        "--map=none",
        f"--model_dir={embedded}",
    )
    with np.load(embedded / "features.npz") as stored:
        return probe(stored["features"], stored["labels"])


def _run(*flags: str) -> None:
    command = [sys.executable, str(ROOT / "run.py"), f"--flagfile={RECIPE}"]
    subprocess.run([*command, *flags], check=True, preexec_fn=die_with_parent)


def table(scores: list[dict]) -> str:
    """Mean and standard deviation over draws, and the lead over the first."""
    lines = [
        "| jitter | temperature | smallest crop | else | accuracy |"
        " against the first |",
        "|---:|---:|---:|---|---:|---:|",
    ]
    found = {json.dumps(x["setting"]): x["top_1"] for x in scores}
    first = found.get(json.dumps(BASE), [])
    for setting in SETTINGS:
        ours = found.get(json.dumps(setting), [])
        leads = [a - b for a, b in zip(ours, first, strict=False)]
        extra = "rotation, shear, shift" if len(setting) > len(BASE) else ""
        lead = mean_and_deviation(leads) if setting is not BASE else "-"
        cells = [
            *(f"{setting[name]:g}" for name in BASE),
            extra,
            mean_and_deviation(ours),
            lead,
        ]
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
    output.mkdir(parents=True, exist_ok=True)
    done = [line["setting"] for line in read_scores(output)]
    missing = [
        (number, setting)
        for number, setting in enumerate(SETTINGS)
        if setting not in done
    ]

    def share(job: int) -> None:
        for number, setting in missing[job :: arguments.jobs]:
            started = time.monotonic()
            found = score(setting, output / f"setting-{number}")
            line = {
                "setting": setting,
                "top_1": [round(x, 4) for x in found],
                "seconds": round(time.monotonic() - started),
            }
            with (output / f"scores-{job}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")

    complete = run_pinned(share, arguments.jobs)
    print(f"\n{table(read_scores(output))}")
    return int(not complete)


if __name__ == "__main__":
    sys.exit(main())
