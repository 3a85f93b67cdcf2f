"""Small image files from real pictures, in every format."""

import functools
import io
import pathlib

import numpy as np
from PIL import Image


@functools.cache
def _picture(name: str) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return load_sample_image(name)


def tile(number: int, height: int = 40, width: int = 48) -> np.ndarray:
    """A part of a photograph, uint8 (height, width, 3); each is another."""
    picture = _picture(("china.jpg", "flower.jpg")[number % 2])
    rows = picture.shape[0] - height
    columns = picture.shape[1] - width
    y, x = (number * 37) % rows, (number * 59) % columns
    return picture[y : y + height, x : x + width]


def encode(pixels: np.ndarray, kind: str, **options) -> bytes:
    """The bytes of an image file; `kind` as Pillow calls it."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, kind, **options)
    return target.getvalue()


def write_photos(
    folder: pathlib.Path, counts: dict[str, int], first: int = 0
) -> pathlib.Path:
    """Writes so many photographs into each sub-folder ('' for the top)."""
    kinds = (("jpg", "JPEG"), ("PNG", "PNG"), ("bmp", "BMP"), ("gif", "GIF"))
    for place, count in counts.items():
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            ending, kind = kinds[number % len(kinds)]
            size = (24 + number % 5, 30 - number % 7)
            path = folder / place / f"{number:03d}.{ending}"
            path.write_bytes(encode(tile(number, *size), kind))
        first += count
    return folder
