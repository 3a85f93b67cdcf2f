"""Self-supervised losses on digits, one of them from the manual.

    python benchmarks/accuracy/losses.py --seeds=3

pretrains with SimCLR, VICReg, and Barlow Twins as docs/python.md writes it, as
docs/research.md does. Runs that are there are not run again. Prints the
accuracy of nearest neighbours and of the online linear classifier on the test
images, and writes them as OUTPUT/losses.json.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.paths import ROOT
from benchmarks.lib.recipe_runs import recipe
from benchmarks.lib.results import this_command, write_results
from benchmarks.lib.spreads import mean_and_deviation
from tf_simclr.files import read_json

METHODS = {
    "SimCLR": ("simclr", "--temperature=0.5"),
    "VICReg": ("vicreg",),
    "Barlow Twins": ("barlow_twins:BarlowTwins",),
}
SCORES = {
    "knn_top_1": "nearest neighbours",
    "linear_top_1": "online linear classifier",
}
_FLAGS = (
    *("--mode=pretrain", "--train_batch_size=128", "--train_epochs=30"),
    *("--warmup_epochs=3", "--learning_rate=0.002", "--weight_decay=1e-5"),
    "--noexport",
)


def write_method(folder: pathlib.Path) -> None:
    """Takes `barlow_twins.py` out of the manual."""
    page = (ROOT / "docs" / "python.md").read_text()
    block = re.search(r"```python\n(# barlow_twins.py.*?)```", page, re.DOTALL)
    (folder / "barlow_twins.py").write_text(block[1])


def run(folder: pathlib.Path, title: str, seed: int) -> dict:
    """Pretrains once; returns its line."""
    method, *flags = METHODS[title]
    model_dir = folder / f"{method.partition(':')[0]}-{seed}"
    command = [sys.executable, str(ROOT / "run.py"), recipe("digits.cfg")]
    command += [*_FLAGS, f"--method={method}", *flags, f"--seed={seed}"]
    subprocess.run(
        [*command, f"--model_dir={model_dir}"],
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    result = read_json(str(model_dir / "result.json"))
    return {
        "method": title,
        "seed": seed,
        "knn_top_1": result["eval/knn_top_1_accuracy"],
        "linear_top_1": result["eval/label_top_1_accuracy"],
    }


def table(runs: list[dict]) -> str:
    """Markdown: a row for each method."""
    lines = [f"| loss | {' | '.join(SCORES.values())} |", "|---|---:|---:|"]
    for title in METHODS:
        cells = [
            mean_and_deviation([x[key] for x in runs if x["method"] == title])
            for key in SCORES
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="runs/losses")
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.output).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    write_method(folder)
    runs = [
        run(folder, title, seed)
        for seed in range(arguments.seeds)
        for title in METHODS
    ]
    found = {"command": this_command(), "hardware": hardware(), "runs": runs}
    write_results(str(folder / "losses"), found, f"{table(runs)}\n")
    print(table(runs))


if __name__ == "__main__":
    main()
