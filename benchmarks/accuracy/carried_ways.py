"""Ways of carrying Fashion-MNIST's labels, on training images held out.

    python benchmarks/accuracy/carried_ways.py --seeds=1

After `carried_students.py` has pretrained in the same OUTPUT. Labels are drawn
class by class from the first four fifths of the training images; the network is
fine-tuned on them; each way carries them along the pretrained and along the
fine-tuned features of all training images. Scores are of the last fifth, whose
labels nothing sees. A line for each number of labels goes to OUTPUT/ways.jsonl;
ends with a table.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.accuracy.carried_students import CLASSES, PARTS, RECIPE
from benchmarks.lib.recipe_runs import of_one_stage, run_program, top_1
from benchmarks.lib.spreads import mean_and_deviation
from tf_simclr import process

COUNTS = (1, 4, 10, 40)
ROWS = {
    "finetuned": "fine-tuned network",
    "linear": "logistic regression on pretrained features",
    "pre-spreading": "spreading, pretrained features",
    "pre-poisson": "Poisson learning, pretrained features",
    "pre-poisson_mbo": "Poisson-MBO, pretrained features",
    "ft-spreading": "spreading, fine-tuned features",
    "ft-poisson": "Poisson learning, fine-tuned features",
    "ft-poisson_mbo": "Poisson-MBO, fine-tuned features",
    "ft-spreading+t": "mean of spreading and fine-tuned network",
}
_LARGEST_BATCH = 100
_HELD_OUT = 0.8


def embedded(checkpoint: pathlib.Path, folder: pathlib.Path) -> dict:
    """The arrays of `--mode=embed` on all training images."""
    path = folder / "features.npz"
    if not path.exists():
        run_program(
            "--mode=embed",
            f"--checkpoint={checkpoint}",
            "--train_split=train",
            "--map=none",
            f"--model_dir={folder}",
        )
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def compare(output: pathlib.Path, count: int, seed: int) -> dict:
    """The accuracy of each way with `count` labels per class."""
    from tf_simclr.labels.approximate_neighbours import neighbours_by
    from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
    from tf_simclr.labels.linear import linear_probabilities
    from tf_simclr.labels.propagation import PROPAGATIONS

    folder = output / "ways" / f"{count}-{seed}"
    run_program(
        *of_one_stage("finetune", RECIPE),
        *PARTS["validation"],
        "--mode=finetune",
        f"--labels_per_class={count}",
        f"--label_seed={seed}",
        f"--train_batch_size={min(_LARGEST_BATCH, count * CLASSES)}",
        "--noexport",
        f"--checkpoint={output / 'pretrain'}",
        f"--model_dir={folder / 'finetune'}",
    )
    pretrained = embedded(output / "pretrain", output / "features")
    finetuned = embedded(folder / "finetune", folder / "features")
    labels, ids = pretrained["labels"], pretrained["ids"].tolist()
    held = np.arange(int(len(ids) * _HELD_OUT), len(ids))

    def accuracy(answers: np.ndarray) -> float:
        return float(np.mean(answers[held].argmax(axis=1) == labels[held]))

    chosen = json.loads((folder / "finetune" / "labels.json").read_text())
    numbers = {name: place for place, name in enumerate(ids)}
    places = np.array([numbers[name] for name in chosen["ids"]])
    known = np.array(chosen["labels"])
    shifted = finetuned["logits"] - finetuned["logits"].max(1, keepdims=True)
    answers = np.exp(shifted)
    answers /= answers.sum(axis=1, keepdims=True)
    features = pretrained["features"]
    found = {
        "finetuned": top_1(folder / "finetune"),
        "linear": accuracy(
            linear_probabilities(features, places, known, CLASSES)
        ),
    }
    for name, arrays in (("pre", pretrained), ("ft", finetuned)):
        near = neighbours_by("approximate", arrays["features"], NEIGHBOURS)
        graph = neighbour_graph(near)
        for way, carry in PROPAGATIONS.items():
            carried = carry(graph, places, known, CLASSES)
            found[f"{name}-{way}"] = accuracy(carried)
            shares = carried / carried.sum(axis=1, keepdims=True)
            found[f"{name}-{way}+t"] = accuracy(shares + answers)
    return {"count": count, "seed": seed, **found}


def table(rows: list[dict]) -> str:
    """Markdown: a column for each number of labels per class."""
    heads = " | ".join(f"{count} per class" for count in COUNTS)
    lines = [f"| way | {heads} |", f"|---|{'---:|' * len(COUNTS)}"]
    for key, title in ROWS.items():
        cells = [
            mean_and_deviation(
                [row[key] for row in rows if row["count"] == count]
            )
            for count in COUNTS
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing; prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", default="runs/carried_students")
    arguments = parser.parse_args()
    process.import_tensorflow()
    output = pathlib.Path(arguments.output).resolve()
    path = output / "ways.jsonl"
    rows = []
    if path.exists():
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    done = {(row["count"], row["seed"]) for row in rows}
    for seed in range(arguments.seeds):
        for count in COUNTS:
            if (count, seed) in done:
                continue
            rows.append(compare(output, count, seed))
            with path.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
