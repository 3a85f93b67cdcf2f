"""Novelty of images of other kinds beside those of the training.

    python benchmarks/accuracy/novelty.py --run=runs/digits/distill

classifies the test digits, and as many images of Fashion-MNIST (of Debian's
dataset-fashion-mnist) and of noise, with a student of digits, and prints the
area under the ROC curve of its novelty, and of the probability of its class,
with the share of images above 0.99.
"""

import argparse
import csv
import pathlib
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.recipe_runs import run_program
from benchmarks.lib.results import this_command, write_results

_FASHION = "/usr/share/datasets/fashion-mnist"


def images_of(kind: str, size: int) -> np.ndarray:
    """Test images uint8 (360, size, size, 3) of digits, clothes or noise."""
    from PIL import Image

    from tf_simclr.data.sources.arrays import load_digits, load_idx

    digits = load_digits(size).splits["test"].pixels.array
    if kind == "digits":
        return digits
    if kind == "noise":
        return np.random.default_rng(0).integers(0, 256, digits.shape, np.uint8)
    clothes = load_idx(_FASHION).splits["test"].pixels.array[: len(digits)]
    small = [Image.fromarray(image).resize((size, size)) for image in clothes]
    return np.stack([np.asarray(image) for image in small])


def classified(run: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Novelty (N,) and probability (N,) of the likeliest class."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for index, image in enumerate(images):
            Image.fromarray(image).save(f"{folder}/{index:04}.png")
        out = pathlib.Path(folder, "out")
        run_program(
            "--mode=predict",
            f"--checkpoint={run}",
            f"--images={folder}",
            f"--model_dir={out}",
        )
        with open(out / "predictions.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    found = [[float(r["novelty"]), float(r["probability"])] for r in rows]
    novelty, probability = np.array(found).T
    return novelty, probability


def table(results: dict) -> str:
    """Markdown: a row for each kind of images."""
    lines = [
        "| images | number | AUROC of novelty | AUROC of 1 - probability |"
        " novelty above 0.99 |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in results["rows"]:
        lines.append(
            f"| {row['kind']} | {row['images']} | {row['novelty']:.3f} |"
            f" {row['probability']:.3f} | {row['above']:.1%} |"
        )
    share = results["digits_above"]
    lines.append(f"| digits, scored on | 360 | | | {share:.1%} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    from sklearn.metrics import roc_auc_score

    from tf_simclr.training.run_record import read_record

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True)
    parser.add_argument("--output", default="runs/novelty.json")
    arguments = parser.parse_args()
    size = read_record(arguments.run).config["image_size"]
    found = {
        kind: classified(arguments.run, images_of(kind, size))
        for kind in ("digits", "clothes", "noise")
    }
    usual, sure = found.pop("digits")
    rows = []
    for kind, (novelty, probability) in found.items():
        odd = np.repeat([0, 1], [len(usual), len(novelty)])
        rows.append(
            {
                "kind": kind,
                "images": len(novelty),
                "novelty": float(
                    roc_auc_score(odd, np.concatenate([usual, novelty]))
                ),
                "probability": float(
                    roc_auc_score(odd, -np.concatenate([sure, probability]))
                ),
                "above": float(np.mean(novelty >= 0.99)),
            }
        )
    results = {
        "command": this_command(),
        "hardware": hardware(),
        "digits_above": float(np.mean(usual >= 0.99)),
        "rows": rows,
    }
    markdown = table(results)
    print(f"\n{markdown}")
    write_results(arguments.output, results, markdown + "\n")


if __name__ == "__main__":
    main()
