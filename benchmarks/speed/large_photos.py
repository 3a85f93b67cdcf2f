"""Pairs of views per second of photographs of 12 megapixels.

    python benchmarks/speed/large_photos.py --output=runs/large_photos

Makes a folder of 4000x3000 JPEG files (noise of many scales, quality 90) and
times the input pipeline of pretraining on it at 224 pixels, in turns: decoding
files whole, and the parts that views show, as the original release shrinks
images; with --antialias, which decodes at a lower scale; with the same filter
at no lower scale; and from the copies of --prepare_cache. Each makes the views
on the host, too, or leaves that to the device (--augment_on=device). The pass
that makes copies is timed. Results go to OUTPUT.json.
"""

import argparse
import contextlib
import dataclasses
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchmarks.lib.hardware import hardware
from benchmarks.lib.results import write_results
from benchmarks.lib.spreads import median_and_range
from tf_simclr import process

SIZE, HEIGHT, WIDTH, BATCH = 224, 3000, 4000, 4
PLACES = ("host", "device")
TITLES = {
    "whole": "whole files",
    "original": "the part that the crops show",
    "antialias, full scale": "that, with the filter of `--antialias`",
    "antialias": "`--antialias`: at a lower scale",
    "prepare_cache": "`--prepare_cache`",
    "prepare_cache, antialias": "`--prepare_cache --antialias`",
}
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


def pipelines(folder: str, cache: str) -> tuple[dict, float]:
    """{(name, place of views): function that makes so many batches}, and the
    seconds per photo of the pass that makes copies."""
    process.import_tensorflow()
    import tensorflow as tf

    from tf_simclr.config import DataConfig
    from tf_simclr.config.augment import AugmentConfig
    from tf_simclr.data import file_batches
    from tf_simclr.data.augment.framing import Framing
    from tf_simclr.data.augment.resize import cut
    from tf_simclr.data.batches import TrainingBatches
    from tf_simclr.data.decode import decode_image
    from tf_simclr.data.shrunk_copies import (
        side_of_copies,
        with_shrunk_copies,
    )
    from tf_simclr.data.sources.open import open_dataset

    @dataclasses.dataclass(frozen=True)
    class AtFullScale(Framing):
        """The same filter, at no lower scale."""

        def scale(self, side: tf.Tensor, size: int) -> tf.Tensor:
            return tf.ones_like(side)

    def decode_all(encoded, window, orientation, how):
        return cut(decode_image(encoded, how), window)

    train = open_dataset(DataConfig(dataset=folder)).train
    started = time.perf_counter()
    copies = with_shrunk_copies(train, cache, side_of_copies(SIZE))
    seconds = (time.perf_counter() - started) / len(train)
    smooth = Framing(antialias=True)
    made = {}
    for name, images, framing in (
        ("whole", train, Framing()),
        ("original", train, Framing()),
        ("antialias", train, smooth),
        ("antialias, full scale", train, AtFullScale(antialias=True)),
        ("prepare_cache", copies, Framing()),
        ("prepare_cache, antialias", copies, smooth),
    ):
        images = dataclasses.replace(images, framing=framing)
        for place in PLACES:
            batches = TrainingBatches(
                images,
                AugmentConfig(augment_on=place),
                SIZE,
                0,
                contrastive=True,
            )
            with contextlib.ExitStack() as stack:
                if name == "whole":
                    stack.enter_context(
                        mock.patch.object(
                            file_batches, "decode_window", decode_all
                        )
                    )
                iterator = iter(batches.dataset(BATCH, 0, 10**6))
            made[name, place] = lambda count, i=iterator: [
                next(i) for _ in range(count)
            ]
    return made, seconds


def rate(make: Callable[[int], object], seconds: float) -> float:
    """Pairs per second, over so many seconds at least."""
    started, batches = time.perf_counter(), 0
    while (taken := time.perf_counter() - started) < seconds:
        make(_AHEAD)
        batches += _AHEAD
    return BATCH * batches / taken


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Pairs per second by what is decoded and where views are made."""
    lines = [
        "| decoded | views on the host | ratio | views on the device | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, title in TITLES.items():
        cells = []
        for place in PLACES:
            rates = found[name][place]
            base = statistics.median(found["whole"][place])
            ratio = statistics.median(rates) / base
            cells += [median_and_range(rates), f"{ratio:.1f}"]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default="runs/large_photos")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as cache,
    ):
        size = make_photos(pathlib.Path(folder), arguments.photos)
        made, seconds = pipelines(folder, cache)
        copied = sum(
            path.stat().st_size for path in pathlib.Path(cache).rglob("*")
        )
        rates = {name: [] for name in made}
        for _ in range(arguments.repeats):
            for name, make in made.items():
                # What was made ahead, while another one was timed.
                make(_AHEAD)
                rates[name].append(rate(make, arguments.seconds))
    found = {
        name: {place: rates[name, place] for place in PLACES}
        for name in dict.fromkeys(name for name, _ in rates)
    }
    text = f"# Photographs of {WIDTH}x{HEIGHT}\n\n{table(found)}\n"
    results = {
        "pairs_per_second": found,
        "bytes_per_photo": size,
        "bytes_per_copy": copied // arguments.photos,
        "seconds_per_copy": seconds,
        "hardware": hardware(),
    }
    write_results(arguments.output, results, text)
    print(text)


if __name__ == "__main__":
    main()
