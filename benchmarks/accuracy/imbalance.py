"""Recall of a rare class, with and without --class_balance.

    python benchmarks/accuracy/imbalance.py --seeds=3

fine-tunes a small network from random weights on two digits, 100 labelled
images of one and 5 of the other, for each value of the flag and each seed,
which draws images and weights. All other images of the two are the evaluation
split. Prints a table, and writes it with all figures as OUTPUT.json.
"""

import argparse
import json
import pathlib
import statistics
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.results import this_command, write_results

COMMON, RARE = 8, 3
LABELS = {COMMON: 100, RARE: 5}
FLAGS = {
    "image_size": 8,
    "resnet_depth": 18,
    "width_multiplier": 0.125,
    "stem": "cifar",
    "train_batch_size": 32,
    "train_steps": 100,
    "warmup_epochs": 0,
    "optimizer": "adam",
    "learning_rate": 0.002,
    "learning_rate_scaling": "none",
    "crop_min_area": 0.6,
    "flip_probability": 0.0,
    "color_jitter_strength": 0.0,
    "grayscale_probability": 0.0,
    "use_blur": False,
    "from_scratch": True,
    "export": False,
}
BALANCES = ("none", "loss", "batches")


def write_data(path: pathlib.Path, seed: int) -> None:
    """Writes the images of one draw."""
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), np.random.default_rng(seed)
    parts: dict[str, list] = {}
    for label, (name, count) in enumerate(LABELS.items()):
        chosen = rng.permutation(np.flatnonzero(digits.target == name))
        for split, indices in (
            ("train", chosen[:count]),
            ("test", chosen[count:]),
        ):
            parts.setdefault(f"x_{split}", []).append(digits.images[indices])
            parts.setdefault(f"y_{split}", []).append(
                np.full(len(indices), label)
            )
    arrays = {name: np.concatenate(part) for name, part in parts.items()}
    for name in ("x_train", "x_test"):
        gray = np.rint(arrays[name] * (255 / 16)).astype(np.uint8)
        arrays[name] = np.repeat(gray[..., np.newaxis], 3, axis=-1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)


def scores(folder: pathlib.Path) -> dict[str, float]:
    """Recall of both classes, accuracy and macro-F1 of a finished run."""
    found = json.loads((folder / "evaluation.json").read_text())
    common, rare = (entry["recall"] for entry in found["classes"])
    return {
        "rare": rare,
        "common": common,
        "top_1": found["scores"]["top_1"]["value"],
        "macro_f1": found["scores"]["macro_f1"]["value"],
    }


def table(runs: list[dict]) -> str:
    """Markdown: mean and range over the seeds."""
    lines = [
        "| `--class_balance` | recall of the rare class | of the common one"
        " | accuracy | macro-F1 |",
        "|---|---:|---:|---:|---:|",
    ]
    for balance in BALANCES:
        cells = []
        for key in ("rare", "common", "top_1", "macro_f1"):
            values = [r[key] for r in runs if r["class_balance"] == balance]
            cells.append(
                f"{statistics.mean(values):.3f}"
                f" ({min(values):.3f} to {max(values):.3f})"
            )
        lines.append(f"| `{balance}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is not there yet, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="runs/imbalance")
    arguments = parser.parse_args()
    import tf_simclr as ts

    output, runs = pathlib.Path(arguments.output), []
    for seed in range(arguments.seeds):
        data = output / f"{seed}.npz"
        write_data(data, seed)
        for balance in BALANCES:
            folder = output / f"{balance}_{seed}"
            ts.finetune(
                dataset=str(data),
                model_dir=str(folder),
                class_balance=balance,
                seed=seed,
                **FLAGS,
            )
            runs.append(
                {"class_balance": balance, "seed": seed, **scores(folder)}
            )
    markdown = table(runs)
    write_results(
        f"{output}.json",
        {
            "command": this_command(),
            "hardware": hardware(),
            "labels": {str(name): count for name, count in LABELS.items()},
            "runs": runs,
        },
        f"{markdown}\n",
    )
    print(markdown)


if __name__ == "__main__":
    main()
