"""What tells the images of two data sets apart, wherever they lie."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    Pixels,
    RecordPixels,
)

# How the images were asked for: told, but the same may go by many names.
SPELLINGS = ("name", "train_split")
CONTENT = "content"

# Image files that are read, bytes of each, and bytes of images in memory.
_FILES = 100
_FILE_BYTES = 2**20
_ARRAY_BYTES = 2**26


def ids_checksum(images: ImageSet) -> str:
    """Changes with any id or label; of pixels it knows nothing."""
    ids = zlib.crc32("\n".join(images.ids).encode())
    return f"{zlib.crc32(images.labels.tobytes(), ids):08x}"


def content_checksum(images: ImageSet) -> str | None:
    """Changes with the pictures, of which it reads some, evenly from all.

    Args:
      images: as they were opened, not yet decoded.

    Returns:
      Hexadecimal digits; None where a file cannot be read.
    """
    pixels = images.pixels
    most = _FILES
    if isinstance(pixels, ArrayPixels):
        most = max(1, _ARRAY_BYTES // max(1, pixels.array[:1].nbytes))
    count = min(len(images), most)
    digest = hashlib.blake2b(digest_size=8)
    try:
        for index in np.linspace(0, len(images) - 1, count).astype(int):
            data, size = _bytes(pixels, index)
            # So that no two lists of images make one stream of bytes.
            digest.update(b"%d " % size)
            digest.update(data)
    except OSError:
        return None
    return digest.hexdigest()


def other_images(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Keys by which two records of data sets are of different images.

    Args:
      old, new: as `dataset` in `config.json`. What only `new` holds is not
        compared, nor is the content where one does not know its own.
    """
    return [
        key
        for key in old
        if key not in SPELLINGS
        and old[key] != new.get(key)
        and not (key == CONTENT and None in (old[key], new.get(key)))
    ]


def _bytes(pixels: Pixels, index: int) -> tuple[bytes, int]:
    """The first bytes of an image, and the number of all."""
    match pixels:
        case ArrayPixels():
            data = pixels.array[index].tobytes()
            return data, len(data)
        case RecordPixels():
            path = pixels.shards[pixels.shard[index]]
            start, size = pixels.offset[index], pixels.length[index]
        case FilePixels():
            path, start, size = pixels.path(index), 0, -1
    with open(path, "rb") as file:
        if size < 0:
            size = file.seek(0, 2)
        file.seek(start)
        return file.read(min(size, _FILE_BYTES)), size
