"""The identity of a data set's images, wherever they lie."""

import hashlib
import zlib

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    Pixels,
    RecordPixels,
)

# Image files that are read, or parts of an array; bytes of each file, and of
# all images in memory.
_PARTS = 100
_FILE_BYTES = 2**20
_ARRAY_BYTES = 2**26
# Hexadecimal digits of a part's checksum, and what stands for a file that
# cannot be read. So few are enough, since many parts are compared.
_DIGITS = 4
_UNREADABLE = "-" * _DIGITS
# One part of so many may differ, or a single one of fewer.
_MENDED = 10


def ids_checksum(images: ImageSet) -> str:
    """Changes with any id or label; of pixels it knows nothing."""
    ids = zlib.crc32("\n".join(images.ids).encode())
    return f"{zlib.crc32(images.labels.tobytes(), ids):08x}"


def content_checksum(images: ImageSet) -> str:
    """Changes with the pictures, of which it reads some, evenly from all.

    Args:
      images: as they were opened, not yet decoded.

    Returns:
      `_DIGITS` characters for each part: an image file, or a share of the
      images in memory.
    """
    pixels, count = images.pixels, min(len(images), _PARTS)
    if isinstance(pixels, ArrayPixels):
        most = max(1, _ARRAY_BYTES // max(1, pixels.array[:1].nbytes))
        count = min(len(images), max(most, _PARTS))
    chosen = np.linspace(0, len(images) - 1, count).astype(int)
    parts = np.array_split(chosen, min(count, _PARTS))
    return "".join(_part(pixels, part) for part in parts)


def changed_content(first: str | None, second: str | None) -> tuple[int, int]:
    """Returns how many parts of two data sets differ, and of how many.

    Args:
      first, second: from `content_checksum`; None where it is not known. Parts
        that one of them could not read are not compared.
    """
    if not first or not second:
        return 0, 0
    if len(first) != len(second):
        return 1, 1
    pairs = [
        (first[at : at + _DIGITS], second[at : at + _DIGITS])
        for at in range(0, len(first), _DIGITS)
    ]
    known = [pair for pair in pairs if _UNREADABLE not in pair]
    return sum(one != other for one, other in known), len(known)


def other_content(first: str | None, second: str | None) -> bool:
    """True if two checksums of `content_checksum` are of other pictures.

    A few pictures may differ, such as a file that was damaged and has been
    mended: one, or a tenth of the parts that are compared, but not all.
    """
    changed, compared = changed_content(first, second)
    mended = changed < compared and changed <= max(1, compared // _MENDED)
    return bool(changed) and not mended


def _part(pixels: Pixels, indices: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=_DIGITS // 2)
    try:
        for index in indices:
            data, size = _bytes(pixels, index)
            # So that no two lists of images make one stream of bytes.
            digest.update(b"%d " % size)
            digest.update(data)
    except OSError:
        return _UNREADABLE
    return digest.hexdigest()


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
