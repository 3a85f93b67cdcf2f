"""Time and memory of what is done once for all images, by their number.

    python benchmarks/speed/scale.py --images 10000 100000 1000000

For each number of images, in a process of its own each:

- index: a folder of image files (hard links of 200 PNGs of 32 pixels, in 100
  classes) is listed, each file looked at, and compared with 1 % of evaluation
  images for near-duplicates;
- stored index: the same from the index that the first left;
- labels: 10 labels per class are drawn;
- suggest: 40 images are chosen by typiclust, the default, on features of 512
  numbers;
- carry: 1,000 labels of 10 classes are carried along the same features by
  approximate neighbours (needs faiss-cpu);
- evaluate: images of 8 pixels in memory are scored by a ResNet-18 of a
  twentieth of the width, with intervals and calibration.

Prints a table, and writes it with all figures as OUTPUT.json.
"""

import argparse
import json
import os
import pathlib
import resource
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.own_process import measured_apart
from benchmarks.lib.results import this_command, write_results
from benchmarks.speed.suggest_scale import choose, write_features

CLASSES, FILES = 100, 200
_LABELS_EACH, _CARRIED, _CARRIED_CLASSES = 10, 1000, 10


def write_folder(folder: pathlib.Path, count: int) -> None:
    """A folder of `count` training images and 1 % of that to evaluate on."""
    from PIL import Image

    rng = np.random.default_rng(0)
    originals = folder / "originals"
    originals.mkdir(parents=True)
    for number in range(FILES):
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(originals / f"{number}.png")
    for split, size in (("train", count), ("test", count // 100)):
        for number in range(size):
            place = folder / "images" / split / f"class {number % CLASSES}"
            if number < CLASSES:
                place.mkdir(parents=True)
            # A file system allows some ten thousand names of one file.
            source = originals / f"{number // CLASSES % FILES}.png"
            os.link(source, place / f"{number}.png")


def index(folder: str, count: int) -> None:
    """Opens the folder; leaves or takes an index."""
    from tf_simclr.config.data import DataConfig
    from tf_simclr.data.sources.open import open_dataset

    place, run = os.path.join(folder, "images"), os.path.join(folder, "run")
    os.makedirs(run, exist_ok=True)
    config = DataConfig(dataset=place)
    found = open_dataset(config, [run]).with_duplicates(config)
    assert len(found.train) == count
    found.write(run, [run])


def labels(folder: str, count: int) -> None:
    """Draws labels of a data set in memory."""
    from tf_simclr.config.data import DataConfig
    from tf_simclr.data.labels import choose_labels

    config = DataConfig(labels_per_class=_LABELS_EACH)
    subset = choose_labels(_images(count, CLASSES), config)
    assert len(subset) == _LABELS_EACH * CLASSES


def suggest(folder: str, count: int) -> None:
    """Chooses images to label."""
    choose(os.path.join(folder, "features.npy"), "typiclust")


def carry(folder: str, count: int) -> None:
    """Carries labels along features."""
    from tf_simclr.labels.approximate_neighbours import neighbours_by
    from tf_simclr.labels.graph import NEIGHBOURS, neighbour_graph
    from tf_simclr.labels.spreading import spread_labels

    features = np.load(os.path.join(folder, "features.npy"), mmap_mode="r")
    near = neighbours_by("approximate", features, NEIGHBOURS)
    places = np.random.default_rng(0).choice(count, _CARRIED, replace=False)
    spread_labels(
        neighbour_graph(near),
        places,
        np.arange(_CARRIED) % _CARRIED_CLASSES,
        _CARRIED_CLASSES,
    )


def evaluate(folder: str, count: int) -> None:
    """Scores images in memory."""
    from tf_simclr.config.data import DataConfig
    from tf_simclr.config.model import ModelConfig
    from tf_simclr.evaluation.classification_report import (
        classification_report,
    )
    from tf_simclr.evaluation.evaluate import classifier_evaluator
    from tf_simclr.models.network import Architecture, build_network

    config = DataConfig(image_size=8, eval_batch_size=1024)
    model = ModelConfig(resnet_depth=18, width_multiplier=0.05)
    architecture = Architecture.for_pretraining(model, 8, CLASSES)
    network = build_network(architecture, 8)
    found = classifier_evaluator(network, _images(count, CLASSES), config)()
    assert found.predictions is not None
    classification_report(found.predictions)


def _images(count: int, classes: int):
    from tf_simclr.data.sources.image_set import ImageSet
    from tf_simclr.data.sources.pixels import ArrayPixels

    rng = np.random.default_rng(0)
    return ImageSet(
        "train",
        ArrayPixels(rng.integers(0, 256, (count, 8, 8, 3), np.uint8)),
        (np.arange(count) % classes).astype(np.int32),
        tuple(f"class {number}" for number in range(classes)),
        tuple(f"image {number}" for number in range(count)),
    )


CASES: dict[str, Callable[[str, int], None]] = {
    "index": index,
    "stored index": index,
    "labels": labels,
    "suggest": suggest,
    "carry": carry,
    "evaluate": evaluate,
}


def measure(case: str, folder: str, count: int) -> dict[str, float]:
    """Seconds of a case without its imports, and the largest memory of this
    process, which has imported all of them."""
    import tf_simclr.library  # noqa: F401

    started = time.monotonic()
    CASES[case](folder, count)
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "memory_gib": memory}


def table(runs: list[dict]) -> str:
    """Markdown: a row for each case, two columns for each number of images."""
    counts = sorted({run["images"] for run in runs})
    cells = {(run["case"], run["images"]): run for run in runs}
    head = "".join(f" {count:,} images | GiB |" for count in counts)
    lines = [f"| what |{head}", f"|---|{'---:|---:|' * len(counts)}"]
    for case in dict.fromkeys(run["case"] for run in runs):
        row = ""
        for count in counts:
            run = cells.get((case, count))
            if run is None:
                row += " - | - |"
            else:
                row += f" {run['seconds']:.1f} s | {run['memory_gib']:.1f} |"
        lines.append(f"| {case} |{row}")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--output", default="runs/scale")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        case, folder, count = arguments.measure
        print(json.dumps(measure(case, folder, int(count))))
        return
    runs = []
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as folder:
            if {"index", "stored index"} & {*arguments.cases}:
                write_folder(pathlib.Path(folder), count)
            if {"suggest", "carry"} & {*arguments.cases}:
                write_features(os.path.join(folder, "features.npy"), count)
            for case in arguments.cases:
                found = measured_apart(
                    __file__, "--measure", case, folder, str(count)
                )
                runs.append({"images": count, "case": case, **found})
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
