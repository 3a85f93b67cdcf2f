"""A folder of small photographs to try things on, if you have none at hand.

    python benchmarks/accuracy/make_photos.py photos

cuts six pictures that scikit-learn and scikit-image ship into fifty tiles
each, which do not overlap, of many sizes, and writes them as JPEG, PNG, GIF,
BMP and WebP files into one sub-folder per picture: which picture a tile is
from is its class. Needs `pip install scikit-image`.
"""

import argparse
import heapq
import pathlib
import sys

import numpy as np

# File endings and Pillow's name of each format, in turn.
FORMATS = (
    ("jpg", "JPEG"),
    ("JPG", "JPEG"),
    ("png", "PNG"),
    ("jpeg", "JPEG"),
    ("webp", "WEBP"),
    ("gif", "GIF"),
    ("bmp", "BMP"),
)
# A cut lies between these shares of a tile's longer side.
CUTS = (0.4, 0.6)
# Fixes the cuts: two people make the same folder.
SEED = 0


def pictures() -> dict[str, np.ndarray]:
    """{name: uint8 (H, W, 3)} of six photographs."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    return {
        "astronaut": data.astronaut(),
        "cat": data.chelsea(),
        "coffee": data.coffee(),
        "flower": load_sample_image("flower.jpg"),
        "motorcycle": data.stereo_motorcycle()[0],
        "temple": load_sample_image("china.jpg"),
    }


def cut(
    picture: np.ndarray, count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """So many tiles that cover the picture: the largest is cut in two, until
    there are enough."""
    height, width = picture.shape[:2]
    tiles = [(-height * width, 0, 0, height, width)]
    while len(tiles) < count:
        _, y, x, height, width = heapq.heappop(tiles)
        share = rng.uniform(*CUTS)
        if height > width:
            first = round(height * share)
            parts = [
                (y, x, first, width),
                (y + first, x, height - first, width),
            ]
        else:
            first = round(width * share)
            parts = [
                (y, x, height, first),
                (y, x + first, height, width - first),
            ]
        for part in parts:
            heapq.heappush(tiles, (-part[2] * part[3], *part))
    return [picture[y : y + h, x : x + w] for _, y, x, h, w in sorted(tiles)]


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", help="where to write; must not exist")
    parser.add_argument(
        "--per_class", type=int, default=50, help="tiles of each picture"
    )
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.folder)
    if folder.exists():
        sys.exit(f"{folder} exists already: name a new folder.")
    try:
        from PIL import Image

        found = pictures()
    except ImportError as error:
        sys.exit(f"{error}: pip install scikit-image")
    rng = np.random.default_rng(SEED)
    for name, picture in found.items():
        (folder / name).mkdir(parents=True)
        tiles = cut(picture, arguments.per_class, rng)
        for number, tile in enumerate(tiles):
            ending, kind = FORMATS[number % len(FORMATS)]
            path = folder / name / f"{number:03d}.{ending}"
            Image.fromarray(tile).save(path, kind)
    count = arguments.per_class * len(found)
    print(f"{folder}: {count} photographs in {len(found)} sub-folders")


if __name__ == "__main__":
    main()
