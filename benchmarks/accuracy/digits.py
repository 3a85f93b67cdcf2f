"""The digits recipe over several label seeds, beside LabelSpreading.

    python benchmarks/accuracy/digits.py --seeds=5 --output=runs/digits_seeds

runs `flags/digits.cfg` with --label_seed=0, 1, ... and prints mean and
standard deviation of every row of its table, next to scikit-learn's
LabelSpreading on the raw pixels of the same training images with the same
labels. Pretraining uses no label, so the seeds share the pretraining of the
first one (--fresh pretrains for each). Each run is a process of its own; what
is there already is not run again. --parts_of=FOLDER copies the parts before
consistency training from another study of the same seeds:

    python benchmarks/accuracy/digits.py --output=runs/trained_consistently \\
        --parts_of=runs/digits_seeds --consistency
"""

import argparse
import json
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.classical_baselines import NEIGHBOURS
from benchmarks.lib.hardware import hardware
from benchmarks.lib.recipe_runs import read_result, recipe, run_program
from benchmarks.lib.results import this_command

ROWS = {
    "supervised_top_1": "supervised only (same network, same augmentation)",
    "label_spreading": "scikit-learn's LabelSpreading (kNN kernel, raw pixels)",
    "carried_top_1": "labels carried along the pretrained features",
    "linear_top_1": "linear evaluation",
    "finetuned_top_1": "fine-tuned (teacher)",
    "consistency_top_1": "consistency training",
    "self_distilled_top_1": "self-distilled",
    "distilled_top_1": "distilled student",
}


# Parts of a pipeline that consistency training leaves as they are.
BEFORE_CONSISTENCY = ("pretrain", "supervised", "linear", "finetune")


def copy_parts(source: pathlib.Path, folder: pathlib.Path) -> None:
    """Copies those parts of a finished pipeline that are not there yet."""
    for part in BEFORE_CONSISTENCY:
        if not (folder / part).exists():
            shutil.copytree(source / part, folder / part)


def run_recipe(seed: int, folder: pathlib.Path, flags: list[str]) -> dict:
    """One pipeline; returns its result with the seconds it took."""
    started = time.monotonic()
    run_program(
        recipe("digits.cfg"),
        f"--model_dir={folder}",
        f"--label_seed={seed}",
        *flags,
    )
    seconds = time.monotonic() - started
    return {**read_result(folder), "seconds": seconds}


def label_spreading(folder: pathlib.Path) -> float:
    """Test accuracy of LabelSpreading on the labels that a run used."""
    from sklearn.datasets import load_digits
    from sklearn.semi_supervised import LabelSpreading

    from tf_simclr.config import DataConfig
    from tf_simclr.data.sources.open import open_dataset

    splits = open_dataset(DataConfig(dataset="digits", image_size=8))
    pixels = load_digits().data

    def raw(ids) -> np.ndarray:
        return pixels[[int(name.split("/")[1]) for name in ids]]

    labels = json.loads((folder / "finetune" / "labels.json").read_text())
    known = dict(zip(labels["ids"], labels["labels"], strict=True))
    targets = [known.get(name, -1) for name in splits.train.ids]
    model = LabelSpreading(kernel="knn", n_neighbors=NEIGHBOURS)
    model.fit(raw(splits.train.ids), targets)
    test = splits.evaluation
    return float(model.score(raw(test.ids), test.labels))


def consistency_table(studies: Sequence[dict]) -> str:
    """Students with and without consistency training, in Markdown.

    Args:
      studies: contents of `results.json`, and in `labels_per_class` and
        `consistency` what they are of.
    """
    keys = ("supervised", "carried", "finetuned", "consistency", "distilled")
    lines = [
        "| labels per class | consistency training | n | supervised only |"
        " labels carried along | fine-tuned | trained consistently | student |",
        "|---:|---|---:|" + "---:|" * len(keys),
    ]
    for study in sorted(studies, key=lambda x: x["labels_per_class"]):
        cells = [study["labels_per_class"], study["consistency"]]
        cells.append(len(study["runs"]))
        for key in keys:
            values = [run.get(f"{key}_top_1") for run in study["runs"]]
            cells.append("-")
            if None not in values:
                spread = f" ± {np.std(values, ddof=1):.3f}"
                cells[-1] = f"{np.mean(values):.3f}{spread}"
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the seeds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", default="runs/digits_seeds")
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--parts_of", type=pathlib.Path)
    arguments, flags = parser.parse_known_args()
    output = pathlib.Path(arguments.output)
    results = []
    for seed in range(arguments.seeds):
        folder = output / str(seed)
        shared = output / "0" / "pretrain"
        if arguments.parts_of:
            copy_parts(arguments.parts_of / str(seed), folder)
        if seed and not arguments.fresh and not folder.exists():
            shutil.copytree(shared, folder / "pretrain")
        found = run_recipe(seed, folder, flags)
        found["label_spreading"] = label_spreading(folder)
        results.append(found)
    print(f"\n| method | mean of {len(results)} label seeds | sd | each |")
    print("|---|---:|---:|---|")
    for key, title in ROWS.items():
        if key in results[0]:
            values = [result[key] for result in results]
            each = " ".join(f"{value:.4f}" for value in values)
            print(
                f"| {title} | {np.mean(values):.4f} |"
                f" {np.std(values, ddof=1):.4f} | {each} |"
            )
    print("\nseconds: " + " ".join(f"{r['seconds']:.0f}" for r in results))
    record = {
        "command": this_command(),
        "hardware": hardware(),
        "runs": results,
    }
    (output / "results.json").write_text(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
