"""A folder of IDX files, as the MNIST family is published.

Such as `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, with `t10k`
or `test` for the test part, gzipped or not; labels may be missing.
"""

import gzip
import os
import re
import struct
import zlib

import numpy as np

from tf_simclr.data.sources.image_set import (
    UNLABELLED,
    ImageSet,
    to_rgb_bytes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.errors import UserError

_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)[-_.]images[-_.]idx(?P<rank>[34])"
    r"[-_.]ubyte(?P<gzip>\.gz)?"
)
# The third byte of an IDX file: unsigned bytes.
_UBYTE = 8


def is_idx_image_file(name: str) -> bool:
    """Whether a file of this name holds images in the IDX format."""
    return _FILE.fullmatch(name) is not None


def load_idx(folder: str) -> Source:
    """Reads the splits of a folder that has IDX files of images.

    Raises:
      UserError: a file is damaged, files do not fit together, or there are
        several data sets.
    """
    found: dict[str, str] = {}
    labels, images = {}, {}
    stamps = {folder: stamp(folder)}
    for name in sorted(os.listdir(folder)):
        match = _FILE.fullmatch(name)
        if match is None:
            continue
        split = "train" if match["part"] == "train" else "test"
        if split in found:
            raise UserError(
                f"The folder {folder} holds several files of {split} images;"
                " keep one data set in a folder. Received:"
                f" {found[split]} and {name}"
            )
        found[split] = name
        path = os.path.join(folder, name)
        stamps[path] = stamp(path)
        images[split] = to_rgb_bytes(_read(path, int(match["rank"])), path)
        labels[split] = _labels(folder, name, match, len(images[split]))
    num_classes = 1 + max(int(values.max()) for values in labels.values())
    stem = os.path.basename(os.path.abspath(folder))
    splits = {
        split: ImageSet(
            name=split,
            pixels=ArrayPixels(images[split]),
            labels=labels[split],
            class_names=tuple(str(index) for index in range(num_classes)),
            ids=tuple(f"{stem}/{split}/{i}" for i in range(len(labels[split]))),
        )
        for split in sorted(found, reverse=True)
    }
    return Source(splits, stamps=stamps, scanned=True)


def _labels(
    folder: str, images: str, match: re.Match, count: int
) -> np.ndarray:
    """The labels that belong to a file of images; -1 without their file."""
    name = images.replace("images", "labels")
    name = name.replace(f"idx{match['rank']}", "idx1").removesuffix(".gz")
    for path in (os.path.join(folder, name + end) for end in ("", ".gz")):
        if os.path.exists(path):
            values = _read(path, 1).astype(np.int32)
            if len(values) != count:
                raise UserError(
                    f"{path} must hold one label for each of the {count}"
                    f" images of {images}. Received: {len(values)}"
                )
            return values
    return np.full(count, UNLABELLED, np.int32)


def _read(path: str, rank: int) -> np.ndarray:
    """The array of unsigned bytes of an IDX file."""
    open_file = gzip.open if path.endswith(".gz") else open
    try:
        with open_file(path, "rb") as file:
            data = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    header = 4 + 4 * rank
    if len(data) < header or data[:4] != bytes([0, 0, _UBYTE, rank]):
        raise UserError(
            f"{path} must be an IDX file of unsigned bytes with {rank}"
            f" {'dimensions' if rank > 1 else 'dimension'}. Received: a file"
            f" that starts with {data[:4].hex(' ') or 'nothing'}"
        )
    shape = struct.unpack(f">{rank}I", data[4:header])
    values = np.frombuffer(data, np.uint8, offset=header)
    size = int(np.prod(shape, dtype=np.uint64))
    if len(values) != size:
        raise UserError(
            f"{path} is damaged: its header says {size} bytes of data"
            f" ({' x '.join(map(str, shape))}). Received: {len(values)}"
        )
    return values.reshape(shape)
