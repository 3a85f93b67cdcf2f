"""Pairs of views per second of photographs of 12 megapixels.

    python benchmarks/speed/large_photos.py --output=runs/large_photos

Makes a folder of 4000x3000 JPEG files (noise of many scales, quality 90) and
times the input pipeline of pretraining on it at 224 pixels, in turns: as the
original release shrinks images, with --antialias, which decodes at a lower
scale, and with the same filter on whole images. Results go to OUTPUT.json.
"""

import argparse
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.results import write_results
from benchmarks.lib.spreads import median_and_range
from tf_simclr import process

SIZE, HEIGHT, WIDTH, BATCH = 224, 3000, 4000, 4
# More batches than a pipeline makes ahead.
_AHEAD = 8


def make_photos(folder: pathlib.Path, count: int) -> int:
    """Writes photographs; returns their mean size in bytes."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        total = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        # Detail at every scale, a little less at smaller ones, so that files
        # are as large as those of phones.
        for octave in range(3, 12):
            rows, columns = 3 * 2**octave // 4, 2**octave
            spread = 24 * 0.88 ** (octave - 3)
            noise = rng.normal(128, spread, (rows, columns, 3))
            layer = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
            total += np.asarray(layer.resize((WIDTH, HEIGHT)), np.float32) - 128
        pixels = np.clip(128 + total, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
    sizes = [path.stat().st_size for path in folder.iterdir()]
    return sum(sizes) // len(sizes)


def pipelines(folder: str) -> dict:
    """{name: function that makes so many batches}."""
    process.import_tensorflow()
    import tensorflow as tf

    from tf_simclr.config import DataConfig
    from tf_simclr.config.augment import AugmentConfig
    from tf_simclr.data.augment.framing import Framing
    from tf_simclr.data.batches import TrainingBatches
    from tf_simclr.data.sources.open import open_dataset

    @dataclasses.dataclass(frozen=True)
    class OfWholeImages(Framing):
        """The same filter, on whole images."""

        def scale(self, side: tf.Tensor, size: int) -> tf.Tensor:
            return tf.ones_like(side)

    train = open_dataset(DataConfig(dataset=folder, scan_images=False)).train
    made = {}
    for name, framing in (
        ("original", Framing()),
        ("antialias", Framing(antialias=True)),
        ("antialias, whole images", OfWholeImages(antialias=True)),
    ):
        images = dataclasses.replace(train, framing=framing)
        batches = TrainingBatches(
            images, AugmentConfig(), SIZE, 0, contrastive=True
        )
        iterator = iter(batches.dataset(BATCH, 0, 10**6))
        made[name] = lambda count, i=iterator: [next(i) for _ in range(count)]
    return made


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default="runs/large_photos")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        size = make_photos(pathlib.Path(folder), arguments.photos)
        made = pipelines(folder)
        rates = {name: [] for name in made}
        for _ in range(arguments.repeats):
            for name, make in made.items():
                # What was made ahead, while another one was timed.
                make(_AHEAD)
                started = time.perf_counter()
                make(arguments.batches)
                seconds = time.perf_counter() - started
                rates[name].append(BATCH * arguments.batches / seconds)
    base = statistics.median(rates["original"])
    lines = [
        "# Photographs of 4000x3000",
        "",
        "| shrunk | pairs/s | times the original's |",
        "|---|---:|---:|",
        *(
            f"| {name} | {median_and_range(found)} |"
            f" {statistics.median(found) / base:.2f} |"
            for name, found in rates.items()
        ),
    ]
    text = "\n".join([*lines, ""])
    results = {
        "pairs_per_second": rates,
        "bytes_per_photo": size,
        "hardware": hardware(),
    }
    write_results(arguments.output, results, text)
    print(text)


if __name__ == "__main__":
    main()
