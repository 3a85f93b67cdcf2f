"""Time and memory of `--mode=suggest` by the number of images.

    python benchmarks/speed/suggest_scale.py --images 10000 100000 1000000

chooses 40 images by random features of 512 numbers, which lie in a file, in a
process of its own for each number of images and each way of choosing. Prints a
table, and writes it with all figures as OUTPUT.json.
"""

import argparse
import json
import pathlib
import resource
import sys
import tempfile
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.own_process import measured_apart
from benchmarks.lib.results import this_command, write_results

BUDGET, DIMENSIONS, CLOUDS = 40, 512, 50
METHODS = ("typiclust", "kmeans", "probcover", "random")


def write_features(path: str, count: int) -> None:
    """Clouds of features, float32 (count, 512), written in parts."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(CLOUDS, DIMENSIONS)).astype(np.float32)
    features = np.lib.format.open_memmap(
        path, "w+", np.float32, (count, DIMENSIONS)
    )
    for start in range(0, count, 10_000):
        stop = min(start + 10_000, count)
        noise = rng.normal(size=(stop - start, DIMENSIONS))
        features[start:stop] = (
            centers[rng.integers(0, CLOUDS, stop - start)] + noise
        )
    features.flush()


def choose(path: str, method: str) -> dict[str, float]:
    """Seconds of one choice, and the largest memory of this process."""
    from tf_simclr.labels.choose import Pool, suggest_images

    none = np.array([], np.int64)
    pool = Pool(np.load(path, mmap_mode="r"), none, none, ())
    started = time.monotonic()
    found = suggest_images(method, pool, BUDGET, 0)
    assert len(found) == BUDGET
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "memory_gib": memory}


def table(runs: list[dict]) -> str:
    """Markdown."""
    lines = [
        "| images | way | seconds | memory, GiB |",
        "|---:|---|---:|---:|",
    ]
    lines += [
        f"| {run['images']:,} | {run['method']} | {run['seconds']:.1f} |"
        f" {run['memory_gib']:.1f} |"
        for run in runs
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--output", default="runs/suggest_scale")
    parser.add_argument("--choose", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.choose:
        print(json.dumps(choose(*arguments.choose)))
        return
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder) / "features.npy")
        for count in arguments.images:
            write_features(path, count)
            for method in arguments.methods:
                found = measured_apart(__file__, "--choose", path, method)
                runs.append({"images": count, "method": method, **found})
                print(runs[-1], flush=True)
    markdown = table(runs)
    write_results(
        arguments.output,
        {"command": this_command(), "hardware": hardware(), "runs": runs},
        f"{markdown}\n",
    )
    print(markdown)


if __name__ == "__main__":
    main()
