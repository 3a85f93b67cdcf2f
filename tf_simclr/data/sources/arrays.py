"""Images that lie in arrays: scikit-learn's digits, npz archives, IDX files.

Such as `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, with `t10k`
or `test` for the test part, gzipped or not; labels may be missing.
"""

import gzip
import os
import pathlib
import re
import struct
import zlib

import numpy as np

from tf_simclr.data.decoding import AS_ORIGINAL
from tf_simclr.data.sources.image_set import (
    MAX_CLASSES,
    UNLABELLED,
    ImageSet,
    to_rgb_bytes,
)
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.source import Source, stamp
from tf_simclr.data.sources.split_names import (
    in_order,
    split_words,
    words_of,
)
from tf_simclr.data.sources.survey import Survey
from tf_simclr.errors import UserError

# Ink values run from 0 to 16 on an 8x8 grid.
INK_MAX = 16.0
TEST_FRACTION = 0.2
# Fixes the split once and for all, whatever --seed is.
SPLIT_SEED = 0


def load_digits(image_size: int) -> Source:
    """The digits, resized to `image_size`, as a train and a test split.

    The split is stratified and fixed: 1,437 images for training and 360 for
    testing, each in a fixed random order.
    """
    import tensorflow as tf
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    ink = tf.constant(digits.images[..., None] / INK_MAX, tf.float32)
    resized = tf.image.resize(ink, [image_size, image_size], method="bicubic")
    pixels = np.round(np.clip(resized.numpy(), 0.0, 1.0) * 255.0)
    images = np.repeat(pixels.astype(np.uint8), 3, axis=-1)
    labels = digits.target.astype(np.int32)
    parts = train_test_split(
        np.arange(len(labels)),
        test_size=TEST_FRACTION,
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    splits = {
        name: ImageSet(
            name=name,
            pixels=ArrayPixels(images[indices]),
            labels=labels[indices],
            class_names=tuple(str(name) for name in digits.target_names),
            ids=tuple(f"digits/{index:04d}" for index in indices),
        )
        for name, indices in zip(("train", "test"), parts, strict=True)
    }
    return Source(splits, scanned=True)


def load_npz(path: str, bit_depth: str = "auto") -> Source:
    """Reads the splits of an archive; labels and evaluation parts are optional.

    Arrays are called `x_train` and `y_train`, `train_images` and
    `train_labels` or alike, `images` and `labels` without a split. Images are
    uint8, or floats in [0, 1]; labels are integers from 0, or -1 for an image
    without one. Wider integers have the data set's range, or `bit_depth`.

    Args:
      path: of the archive.
      bit_depth: of the flag.

    Raises:
      UserError: the file is unreadable or its arrays do not fit together.
    """
    stamps = {path: stamp(path)}
    arrays = _npz_arrays(path)
    found, unread = _npz_roles(arrays, path)
    splits_of_images = in_order(split for kind, split in found if kind == "x")
    if not splits_of_images:
        raise UserError(
            f"{path} must hold an array x_train (and, where there are labels,"
            " y_train), or x_test to evaluate on. Received:"
            f" {', '.join(arrays) or 'no array'}"
        )
    images, labels = {}, {}
    deep = Survey.of_arrays(arrays[found["x", s]] for s in splits_of_images)
    # Arrays have no transparency.
    how = deep.decoding(AS_ORIGINAL.alpha, bit_depth)
    for split in splits_of_images:
        name = found["x", split]
        images[split] = to_rgb_bytes(
            arrays[name], f"{name} of {path}", how.bits
        )
        labels[split] = _npz_labels(
            arrays, found.get(("y", split)), len(images[split]), path
        )
    num_classes = 1 + max(int(values.max()) for values in labels.values())
    class_names = tuple(str(index) for index in range(num_classes))
    stem = pathlib.Path(path).stem
    splits = {
        split: ImageSet(
            name=split,
            pixels=ArrayPixels(array, how),
            labels=labels[split],
            class_names=class_names,
            ids=tuple(f"{stem}/{split}/{index}" for index in range(len(array))),
        )
        for split, array in images.items()
    }
    notices = deep.notices(how)
    if unread:
        notices.append(f"arrays that are not read: {', '.join(unread)}")
    return Source(splits, tuple(notices), stamps, scanned=True)


def _npz_arrays(path: str) -> dict[str, np.ndarray]:
    """{name: array} of an archive.

    Raises:
      UserError: it cannot be read, or is none.
    """
    try:
        with open(path, "rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array (.npy)")
            with archive:
                arrays = {name: archive[name] for name in archive.files}
    # What zipfile, zlib and NumPy raise about damaged files is many things.
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a NumPy archive (.npz): {error}"
        ) from error
    # Files of another kind come as bytes.
    return {k: v for k, v in arrays.items() if isinstance(v, np.ndarray)}


# Words in the names of arrays.
_NPZ_WORDS = {
    **dict.fromkeys(("x", "image", "images", "img", "imgs", "data"), "x"),
    **dict.fromkeys(("y", "label", "labels", "target", "targets"), "y"),
}


def _npz_roles(
    arrays: dict[str, np.ndarray], path: str
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """{('x' or 'y', split): name}, and names of other arrays.

    Raises:
      UserError: two arrays are named for the same.
    """
    found: dict[tuple[str, str], str] = {}
    unread = []
    for name in arrays:
        kinds = {_NPZ_WORDS[w] for w in words_of(name) if w in _NPZ_WORDS}
        splits = split_words(name) or {"train"}
        if len(kinds) != 1 or len(splits) != 1:
            unread.append(name)
            continue
        role = kinds.pop(), splits.pop()
        if role in found:
            raise UserError(
                f"{path} must hold one array of the"
                f" {'images' if role[0] == 'x' else 'labels'} of '{role[1]}'."
                f" Received: {found[role]} and {name}"
            )
        found[role] = name
    return found, unread


def _npz_labels(
    arrays: dict[str, np.ndarray], name: str | None, count: int, path: str
) -> np.ndarray:
    if name is None:
        return np.full(count, UNLABELLED, np.int32)
    values = arrays[name]
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype == bool:
        values = values.astype(np.int32)
    if values.shape != (count,) or not np.issubdtype(values.dtype, np.integer):
        raise UserError(
            f"{name} of {path} must hold one integer label for each of the"
            f" {count} images. Received: {values.dtype} of shape"
            f" {tuple(values.shape)}"
        )
    lowest, highest = int(values.min()), int(values.max())
    if lowest < UNLABELLED or highest >= MAX_CLASSES:
        raise UserError(
            f"{name} of {path} must hold labels from 0 to below"
            f" {MAX_CLASSES:,}, or -1 for an image without one. Received:"
            f" {lowest} to {highest}"
        )
    return values.astype(np.int32)


_FILE = re.compile(
    r"(?P<prefix>.*?)(?P<part>train|t10k|test)[-_.]images[-_.]idx(?P<rank>[34])"
    r"[-_.]ubyte(?P<gzip>\.gz)?"
)
# The third byte of an IDX file: unsigned bytes.
_UBYTE = 8


def is_idx_image_file(name: str) -> bool:
    """True if a file of this name holds images in the IDX format."""
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
        labels[split] = _idx_labels(folder, name, match, len(images[split]))
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


def _idx_labels(
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
