"""Accuracy of labels carried along features, by which images are labelled.

    python benchmarks/accuracy/labels.py --run=runs/digits/pretrain

Takes the features of a pretrained run. For each way of choosing images, each
number of labels and each seed, labels are carried to all training images and
from there to the evaluation images; no network is trained. Beside spreading
stand Poisson learning, its form with class sizes and logistic regression on the
same labels, the share of the labels that follow from the others (the estimate
of the accuracy, of up to 100 labels), and how many classes were seen. A second
table tells how many of 5 % flipped labels are among the first 8 % of the labels
that look wrong (of up to 10,000 images).

--part=validation, for choosing, carries to the last fifth of the training
images and leaves it out of the choice. Prints the tables, and writes them with
all figures as OUTPUT.json, and OUTPUT.png, accuracy against labels.
"""

import argparse
import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.recipe_runs import run_program
from benchmarks.lib.results import this_command, write_results
from benchmarks.lib.spreads import mean_and_deviation
from tf_simclr.labels.choose import CHOICES, Pool, suggest_images
from tf_simclr.labels.distributions import carried_to
from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
from tf_simclr.labels.neighbours import nearest_neighbours, unit_rows
from tf_simclr.labels.propagation import PROPAGATIONS
from tf_simclr.labels.spreading import held_out, leave_one_out
from tf_simclr.labels.suspicious import suspicious_labels

# `uncertain` needs labels to begin with: it spends the second half of a budget.
WAYS = (*CHOICES, "class_balanced")
FLIPPED, LOOKED_AT = 0.05, 0.08
# Of more, leaving labels out takes longer than all the rest.
_MOST_LEFT_OUT, _MOST_FLIPPED = 100, 10_000


def features_of(run: str, split: str, folder: pathlib.Path, flags: list[str]):
    """Features (N, d) and labels (N,) of a split."""
    path = folder / split / "features.npz"
    if not path.exists():
        run_program(
            "--mode=embed",
            f"--checkpoint={run}",
            f"--embed_split={split}",
            "--map=none",
            f"--model_dir={path.parent}",
            *flags,
        )
    with np.load(path) as archive:
        return archive["features"], archive["labels"]


def choose(way: str, features, labels, budget: int, seed: int) -> np.ndarray:
    """Places of the images to label, as many as the budget has."""
    none, names = np.array([], np.int64), tuple(map(str, np.unique(labels)))
    pool = Pool(features, none, none, names)
    if way == "class_balanced":
        rng, each = np.random.default_rng(seed), budget // len(names)
        parts = [
            rng.choice(np.flatnonzero(labels == label), each, replace=False)
            for label in range(len(names))
        ]
        return np.concatenate(parts)
    first = budget
    if way == "uncertain":
        first = budget // 2
        places = choose("typiclust", features, labels, first, seed)
        pool = Pool(features, places, labels[places], names)
        more = suggest_images(way, pool, budget - first, seed)
        return np.concatenate([places, [each.place for each in more]])
    return np.array([x.place for x in suggest_images(way, pool, budget, seed)])


def measure(way, budget, seed, train, labels, graph, near, true) -> dict:
    """The scores of one choice."""
    from sklearn.linear_model import LogisticRegression

    places = choose(way, train, labels, budget, seed)
    known, classes = labels[places], int(labels.max()) + 1
    found = {"way": way, "budget": budget, "seed": seed}
    found["classes"] = len(np.unique(known))
    for name, carry in PROPAGATIONS.items():
        carried = carried_to(carry(graph, places, known, classes), near[0])
        found[name] = float(np.mean(carried.argmax(axis=1) == true))
    found["estimate"] = float("nan")
    if budget <= _MOST_LEFT_OUT:
        without = leave_one_out(graph, places, known, classes)
        found["estimate"] = float(np.mean(without.argmax(axis=1) == known))
    found["linear"] = float("nan")
    if found["classes"] > 1:
        model = LogisticRegression(C=10, max_iter=2000)
        model.fit(unit_rows(train[places]), known)
        found["linear"] = float(model.score(unit_rows(near[1]), true))
    return found


def flipped(labels: np.ndarray, graph, seed: int) -> float:
    """Share of flipped labels among the first that look wrong."""
    rng, count = np.random.default_rng(seed), len(labels)
    classes = int(labels.max()) + 1
    bad = rng.choice(count, int(FLIPPED * count), replace=False)
    noisy = labels.copy()
    noisy[bad] = (noisy[bad] + rng.integers(1, classes, len(bad))) % classes
    places = np.arange(count)
    without = held_out(graph, places, noisy, classes)
    first = suspicious_labels(places, noisy, without)[: int(LOOKED_AT * count)]
    return float(np.isin(bad, [each.place for each in first]).mean())


def table(runs: list[dict], key: str, budgets: list[int]) -> str:
    """Markdown: a row for each way, a column for each budget."""
    lines = [
        f"| labels chosen | {' | '.join(f'{b} labels' for b in budgets)} |",
        f"|---|{'---:|' * len(budgets)}",
    ]
    for way in {run["way"]: None for run in runs}:
        cells = [
            mean_and_deviation(
                [
                    run[key]
                    for run in runs
                    if (run["way"], run["budget"]) == (way, budget)
                    and not np.isnan(run[key])
                ]
            )
            for budget in budgets
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(runs: list[dict], path: str) -> None:
    """Accuracy of spreading against labels, by which images are labelled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    budgets = sorted({run["budget"] for run in runs})
    for way in {run["way"]: None for run in runs}:
        each = [
            [
                r["spreading"]
                for r in runs
                if (r["way"], r["budget"]) == (way, b)
            ]
            for b in budgets
        ]
        axes.errorbar(
            budgets,
            [np.mean(values) for values in each],
            [
                np.std(values, ddof=1) if len(values) > 1 else 0
                for values in each
            ],
            label=way,
            marker="o",
            markersize=4,
            capsize=3,
        )
    axes.set_xscale("log")
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.minorticks_off()
    axes.set_xlabel("labels in all")
    axes.set_ylabel("accuracy")
    axes.grid(alpha=0.3)
    axes.legend(title="labels chosen")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="a pretraining")
    parser.add_argument("--budgets", type=int, nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--part", default="test")
    parser.add_argument("--output", default="runs/labels")
    parser.add_argument("flags", nargs="*", help="of run.py, for the images")
    arguments = parser.parse_args()
    budgets = arguments.budgets or [10, 20, 40, 100]
    folder = pathlib.Path(arguments.output)
    train, labels = features_of(arguments.run, "train", folder, arguments.flags)
    if arguments.part == "validation":
        cut = len(train) * 4 // 5
        (train, other), (labels, true) = (
            (array[:cut], array[cut:]) for array in (train, labels)
        )
    else:
        other, true = features_of(
            arguments.run, arguments.part, folder, arguments.flags
        )
    graph = neighbour_graph(nearest_neighbours(train, NEIGHBOURS))
    near = nearest_neighbours(other, NEIGHBOURS, among=train), other
    runs = [
        measure(way, budget, seed, train, labels, graph, near, true)
        for way in arguments.ways
        for budget in budgets
        for seed in range(arguments.seeds)
    ]
    noise = []
    if len(labels) <= _MOST_FLIPPED:
        noise = [flipped(labels, graph, s) for s in range(arguments.seeds)]
    parts = [
        f"{title}\n\n{table(runs, key, budgets)}\n"
        for key, title in (
            ("spreading", "Accuracy of spreading"),
            ("poisson", "Accuracy of Poisson learning"),
            ("poisson_mbo", "Accuracy of PoissonMBO"),
            ("linear", "Accuracy of logistic regression"),
            ("estimate", "Share of the labels that follow from the others"),
            ("classes", "Classes seen"),
        )
    ]
    parts.append(
        f"Of {FLIPPED:.0%} flipped labels among the first {LOOKED_AT:.0%}:"
        f" {mean_and_deviation(noise)}\n"
    )
    markdown = "\n".join(parts)
    write_results(
        f"{folder}.json",
        {
            "command": this_command(),
            "hardware": hardware(),
            "images": [len(train), len(other)],
            "part": arguments.part,
            "runs": runs,
            "flipped_found": noise,
        },
        markdown,
    )
    draw(runs, f"{folder}.png")
    print(markdown)


if __name__ == "__main__":
    main()
