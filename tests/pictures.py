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


def originals() -> list[bytes]:
    """JPEG and PNG files of every usual kind, a few kilobytes each."""
    photo = tile(3)
    deep = photo[..., 0].astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = Image.fromarray(photo).quantize(16)
    indexed = io.BytesIO()
    palette.save(indexed, "PNG")
    return [
        encode(photo, "JPEG", quality=80),
        encode(photo, "JPEG", quality=60, progressive=True),
        encode(photo[..., 0], "JPEG", exif=exif),
        encode(photo, "PNG"),
        encode(deep, "PNG"),
        indexed.getvalue(),
    ]


def mutated(count: int) -> list[bytes]:
    """Damaged copies of `originals`, the same on every call."""
    rng = np.random.default_rng(0)
    sources = originals()
    return [_mutate(sources[i % len(sources)], rng) for i in range(count)]


def _mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes changed, cut off, taken out or put in."""
    at = int(rng.integers(0, len(data)))
    kind = rng.integers(0, 8)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[at + int(rng.integers(1, 64)) :]
    if kind == 2:
        return data[:at] + rng.bytes(int(rng.integers(1, 64))) + data[at:]
    changed = bytearray(data)
    # Half of the changes hit headers, where they do most harm.
    reach = len(data) if kind < 6 else min(len(data), 200)
    for place in rng.integers(0, reach, int(rng.integers(1, 9))):
        changed[place] = rng.integers(0, 256)
    return bytes(changed)


# {name: what is wrong with it, or None} of `write_torture`.
TORTURE = {
    "animation.gif": None,
    "bomb.png": "holds 3,600,000,000 pixels (60000 x 60000)",
    "broken link.jpg": "is a broken link",
    "cmyk.jpg": None,
    "cut off.jpg": "is damaged or cut off (JPEG)",
    "cut off.png": "is damaged or cut off (PNG)",
    "deep.png": None,
    "empty.jpg": "is empty",
    "gray.png": None,
    "header only.jpg": "is damaged or cut off (JPEG)",
    "huge.jpg": None,
    "really a png.jpg": None,
    "rgba.png": None,
    "rotated.jpg": None,
    "text.jpg": "is no image of a known format",
    "thin.png": None,
    "tiny.webp": None,
}


def write_torture(folder: pathlib.Path) -> pathlib.Path:
    """Writes files that decoders have tripped over."""
    photo = tile(5)
    alpha = np.concatenate([photo, photo[..., :1]], axis=-1)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.fromarray(tile(number)) for number in range(3)]
    animation = io.BytesIO()
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:])
    cmyk = io.BytesIO()
    Image.fromarray(photo).convert("CMYK").save(cmyk, "JPEG")
    jpeg, png = encode(photo, "JPEG"), encode(photo, "PNG")
    sides = (60_000).to_bytes(4, "big") * 2
    contents = {
        "animation.gif": animation.getvalue(),
        "bomb.png": png[:16] + sides + png[24:],
        "cmyk.jpg": cmyk.getvalue(),
        "cut off.jpg": jpeg[: len(jpeg) // 2],
        "cut off.png": png[: len(png) // 2],
        "deep.png": encode(photo[..., 0].astype(np.uint16) * 257, "PNG"),
        "empty.jpg": b"",
        "gray.png": encode(tile(1, 28, 28)[..., 0], "PNG"),
        "header only.jpg": jpeg[:20],
        "huge.jpg": encode(np.full((8000, 8000), 90, np.uint8), "JPEG"),
        "really a png.jpg": png,
        "rgba.png": encode(alpha, "PNG"),
        "rotated.jpg": encode(photo, "JPEG", exif=exif),
        "text.jpg": b"this is no image\n",
        "thin.png": encode(tile(7, 40, 1), "PNG"),
        "tiny.webp": encode(photo, "WEBP"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    (folder / "broken link.jpg").symlink_to("gone.jpg")
    return folder
