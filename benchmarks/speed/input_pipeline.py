"""Pairs of views per second that the host can make.

    python benchmarks/speed/input_pipeline.py --output=runs/input_pipeline

At 32 and at 224 pixels, from a folder of JPEG files, from TFRecord shards and,
at 32, from memory. The images are parts of scikit-learn's two photographs;
for views of 224 pixels they have 500x375. What is compared, always at full
batches, with all threads that `tf.data` takes:

  decoding     every image decoded once and dropped: images per second
  per image    a plain graph of crop, flip, jitter and grayscale, image by
               image (`per_image_views.py`); the others are ratios to it
  ours         what `run.py` does with --augment_on=host: all of the
               augmentation, and the same without blur
  device       the host's part with --augment_on=device

`run.py` decodes images of up to 64 pixels once and keeps them, so that ours is
the same from all sources there; "files each time" is without that. All rows
run in one process, in turns; each repeat builds its pipeline anew, warms it up
and then counts whole batches. --profile measures what each stage costs alone,
in processor time, and names the slowest. Results go to OUTPUT.json and
OUTPUT.md: the median, with the lowest and the highest in brackets.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tf_simclr import process

process.compile_views_only()
process.import_tensorflow()

import tensorflow as tf  # noqa: E402

from benchmarks.lib.hardware import as_line, hardware  # noqa: E402
from benchmarks.lib.input_stages import VIEWS, slowest, stage_milliseconds  # noqa: E402
from benchmarks.lib.per_image_views import per_image_dataset, stored  # noqa: E402
from benchmarks.lib.results import (  # noqa: E402
    this_command,
    write_results,
)
from benchmarks.lib.sample_images import write_samples  # noqa: E402
from benchmarks.lib.spreads import median_and_range  # noqa: E402
from tf_simclr.config.augment import AugmentConfig  # noqa: E402
from tf_simclr.data.array_batches import keep_decoded  # noqa: E402
from tf_simclr.data.batches import TrainingBatches  # noqa: E402
from tf_simclr.data.decode import decode_image  # noqa: E402
from tf_simclr.data.sources.image_set import ImageSet  # noqa: E402
from tf_simclr.data.sources.pixels import ArrayPixels  # noqa: E402

BASELINE = "per image"
# Side of a view -> (images, their width, their height, batch).
CASES = {32: (2000, 32, 32, 256), 224: (300, 500, 375, 64)}
QUICK = {32: (64, 32, 32, 16), 224: (16, 500, 375, 4)}
_STEPS = 10**6

Make = Callable[[], tf.data.Dataset]


def rows(images: ImageSet, size: int, batch: int) -> dict[str, Make]:
    """{what: makes an endless dataset of batches}, for one source."""
    kept = keep_decoded(images, wanted=False)

    def ours(source: ImageSet, **augment) -> Make:
        batches = TrainingBatches(
            source, AugmentConfig(**augment), size, 0, contrastive=True
        )
        return lambda: batches.dataset(batch, 0, _STEPS)

    made = {
        BASELINE: lambda: per_image_dataset(images, size, batch),
        "ours": ours(kept),
        "ours, no blur": ours(kept, use_blur=False),
        "device": ours(kept, augment_on="device"),
    }
    if isinstance(images.pixels, ArrayPixels):
        return made
    if kept is not images:
        made["ours, files each time"] = ours(images)
        made["ours, no blur, files each time"] = ours(images, use_blur=False)
    return {"decoding": lambda: decoding(images, batch), **made}


def decoding(images: ImageSet, batch: int) -> tf.data.Dataset:
    """Decodes images and drops them; an element for each batch of them."""
    items, load = stored(images.pixels)
    return (
        items.map(
            lambda item: tf.shape(decode_image(load(item)))[0],
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=False,
        )
        .batch(batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def rate(make: Make, batch: int, warm_up: float, seconds: float) -> float:
    """Pairs per second, once all buffers are full."""
    iterator = iter(make())
    _take(iterator, warm_up)
    count, spent = _take(iterator, seconds)
    return count * batch / spent


def _take(iterator, seconds: float) -> tuple[int, float]:
    """Takes batches until so much time has passed, two at least."""
    started, count = time.perf_counter(), 0
    while True:
        next(iterator)
        count += 1
        spent = time.perf_counter() - started
        if spent >= seconds and count >= 2:
            return count, spent


def measure(arguments: argparse.Namespace) -> list[dict]:
    """Everything that is asked for, as one dictionary per source and size."""
    cases = QUICK if arguments.quick else CASES
    found = []
    for size in arguments.sizes:
        count, width, height, batch = cases[size]
        batch = arguments.batch or batch
        with tempfile.TemporaryDirectory() as folder:
            sources = write_samples(pathlib.Path(folder), count, width, height)
            if max(width, height) <= 32:
                kept = keep_decoded(sources["folder"], wanted=False)
                sources["memory"] = dataclasses.replace(kept, name="memory")
            for name in arguments.sources:
                if name in sources:
                    images = sources[name]
                    case = {
                        "size": size,
                        "source": name,
                        "images": f"{count} of {width}x{height}",
                        "batch": batch,
                        **measure_source(images, size, batch, arguments),
                    }
                    found.append(case)
                    print(json.dumps(case), file=sys.stderr)
    return found


def measure_source(
    images: ImageSet, size: int, batch: int, arguments: argparse.Namespace
) -> dict:
    """Pairs per second, and the costs of stages with --profile."""
    makes = rows(images, size, batch)
    pairs = {name: [] for name in makes}
    for _ in range(arguments.repeats):
        # In turns, so that a slow minute of the machine hits all alike.
        for name, make in makes.items():
            pairs[name].append(
                rate(make, batch, arguments.warm_up, arguments.seconds)
            )
    case: dict = {"pairs_per_second": pairs}
    if arguments.profile and not isinstance(images.pixels, ArrayPixels):
        case["core_ms"] = stage_milliseconds(
            images, size, batch, arguments.repeats
        )
    return case


def as_markdown(results: dict) -> str:
    """All results as Markdown."""
    lines = [
        "# Input pipeline",
        "",
        as_line(results["hardware"]),
        "",
        f"`{results['command']}`",
        "",
        "| view, px | source | images | batch | what | pairs/s |"
        f" ratio to {BASELINE} |",
        "|---:|---|---|---:|---|---:|---:|",
    ]
    for case in results["cases"]:
        start = (
            f"| {case['size']} | {case['source']} | {case['images']} |"
            f" {case['batch']} |"
        )
        baseline = case["pairs_per_second"][BASELINE]
        for name, pairs in case["pairs_per_second"].items():
            ratio = statistics.median(pairs) / statistics.median(baseline)
            lines.append(
                f"{start} {name} | {median_and_range(pairs, 0)} | {ratio:.2f} |"
            )
    for case in results["cases"]:
        if "core_ms" in case:
            lines += profile_table(case)
    return "\n".join([*lines, ""])


def profile_table(case: dict) -> list[str]:
    """A table of the stages' costs that marks the largest."""
    medians = {
        name: statistics.median(costs)
        for name, costs in case["core_ms"].items()
    }
    title = f"views of {case['size']} px, {case['source']}"
    return [
        "",
        f"Slowest stage, {title}: {slowest(medians)}.",
        "",
        f"| stage | core-milliseconds per image of {len(VIEWS)} views |",
        "|---|---:|",
        *(
            f"| {name} | {median_and_range(costs, 3)} |"
            for name, costs in case["core_ms"].items()
        ),
    ]


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=list(CASES))
    parser.add_argument(
        "--sources", nargs="*", default=["folder", "TFRecord", "memory"]
    )
    parser.add_argument("--batch", type=int, default=0, help="0: our choice")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm_up", type=float, default=2.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument(
        "--quick", action="store_true", help="few images: does it work?"
    )
    parser.add_argument("--output", default="runs/input_pipeline")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.warm_up, arguments.seconds = 1, 0, 0
    results = {
        "command": this_command(),
        "hardware": hardware(),
        "cases": measure(arguments),
    }
    text = as_markdown(results)
    write_results(arguments.output, results, text)
    print(text)


if __name__ == "__main__":
    main()
