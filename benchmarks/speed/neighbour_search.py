"""The neighbours of images, exactly and by an index.

    python benchmarks/speed/neighbour_search.py

times both ways of `--neighbour_search` on the principal components of the
pixels of Fashion-MNIST's training images, and counts how many of the ten
nearest neighbours the index finds. Prints a table, and writes it with all
figures as OUTPUT.json.
"""

import argparse
import pathlib
import sys
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.results import this_command, write_results
from tf_simclr.config import DataConfig
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.labels.approximate_neighbours import neighbours_by
from tf_simclr.labels.graph import NEIGHBOURS

COMPONENTS = 128


def components(dataset: str) -> np.ndarray:
    """float32 (N, 128) of the training images of a data set."""
    from sklearn.decomposition import PCA

    config = DataConfig(dataset=dataset, image_size=28)
    pixels = open_dataset(config).train.pixels.array[..., 0]
    flat = pixels.reshape(len(pixels), -1).astype(np.float32)
    return PCA(COMPONENTS, random_state=0).fit_transform(flat)


def measure(features: np.ndarray) -> list[dict]:
    """Seconds of each search, and the share of the neighbours it finds.

    Args:
      features: (N, d).
    """
    runs, exact = [], None
    for search in ("exact", "approximate"):
        started = time.monotonic()
        found = neighbours_by(search, features, NEIGHBOURS).indices
        seconds = time.monotonic() - started
        exact = found if exact is None else exact
        shared = [
            len(np.intersect1d(*pair, assume_unique=True))
            for pair in zip(found, exact, strict=True)
        ]
        share = float(np.mean(shared)) / NEIGHBOURS
        runs.append({"search": search, "seconds": seconds, "found": share})
    return runs


def table(runs: list[dict]) -> str:
    """A line for each search."""
    lines = ["| search | seconds | neighbours found |", "|---|---:|---:|"]
    lines += [
        f"| {run['search']} | {run['seconds']:.0f} | {run['found']:.1%} |"
        for run in runs
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--dataset", default="/usr/share/datasets/fashion-mnist"
    )
    parser.add_argument("--output", default="runs/neighbour_search")
    arguments = parser.parse_args()
    runs = measure(components(arguments.dataset))
    print(table(runs))
    record = {"command": this_command(), "hardware": hardware(), "runs": runs}
    write_results(arguments.output, record, table(runs))


if __name__ == "__main__":
    main()
