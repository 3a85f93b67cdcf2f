"""Folders and shards of JPEG files, cut from scikit-learn's two photographs."""

import io
import pathlib

import numpy as np
from PIL import Image

from tf_simclr.config import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.records import write_shard

QUALITY = 90
_SHARDS = 4


def write_samples(
    folder: pathlib.Path, count: int, width: int, height: int
) -> dict[str, ImageSet]:
    """Writes the same images as files and as shards.

    Each is another part of a photograph, resized: contents differ as those of
    a real folder do.

    Args:
      folder: where to write.
      count: how many images.
      width, height: of each, in pixels.

    Returns:
      {"folder": ..., "TFRecord": ...}, opened as `run.py` opens them.
    """
    from sklearn.datasets import load_sample_image

    pictures = [
        Image.fromarray(load_sample_image(name))
        for name in ("china.jpg", "flower.jpg")
    ]
    rng = np.random.default_rng(0)
    files, shards = folder / "files", folder / "shards"
    files.mkdir()
    shards.mkdir()
    encoded = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        target = io.BytesIO()
        _part(picture, width, height, rng).save(target, "JPEG", quality=QUALITY)
        encoded.append(target.getvalue())
        (files / f"{number:05d}.jpg").write_bytes(encoded[-1])
    for shard in range(_SHARDS):
        records = [(data, -1, "") for data in encoded[shard::_SHARDS]]
        write_shard(str(shards / f"train-{shard:02d}.tfrecord"), records)
    return {
        name: open_dataset(DataConfig(dataset=str(place))).train
        for name, place in (("folder", files), ("TFRecord", shards))
    }


def _part(
    picture: Image.Image, width: int, height: int, rng: np.random.Generator
) -> Image.Image:
    """A random part of at least half the sides, of the wanted shape."""
    fits = min(picture.width / width, picture.height / height)
    scale = fits * rng.uniform(0.5, 1.0)
    w, h = scale * width, scale * height
    x = rng.uniform(0, picture.width - w)
    y = rng.uniform(0, picture.height - h)
    return picture.resize(
        (width, height), Image.Resampling.BICUBIC, (x, y, x + w, y + h)
    )
