"""Folders of IDX files."""

import gzip
import pathlib
import struct

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.sources.arrays import is_idx_image_file, load_idx
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError

# Where Debian's package dataset-fashion-mnist installs it.
_DEBIAN = pathlib.Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim])
    return header + struct.pack(f">{array.ndim}I", *array.shape) + bytes(array)


@pytest.fixture
def folder(tmp_path):
    """Six training images with gzipped labels, four test images without."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 5, 7), dtype=np.uint8)
    labels = np.arange(6, dtype=np.uint8) % 3
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(images[:6]))
    with gzip.open(tmp_path / "train-labels-idx1-ubyte.gz", "wb") as file:
        file.write(idx(labels))
    with gzip.open(tmp_path / "t10k-images-idx3-ubyte.gz", "wb") as file:
        file.write(idx(images[6:]))
    (tmp_path / "README").write_text("about")
    return tmp_path


def test_images_and_labels(folder):
    splits = open_dataset(DataConfig(dataset=str(folder)))
    # The test images have no label, and nothing can be scored on them.
    assert splits.train.pixels.array.shape == (10, 5, 7, 3)
    assert splits.train.labels.tolist() == [0, 1, 2, 0, 1, 2] + 4 * [-1]
    assert splits.train.class_names == ("0", "1", "2")
    assert splits.evaluation is None
    stored = (folder / "train-images-idx3-ubyte").read_bytes()[16:]
    array = splits.train.pixels.array[:6]
    assert bytes(array[..., 0]) == bytes(array[..., 2]) == stored
    assert len(set(splits.train.ids)) == 10


def test_names():
    assert is_idx_image_file("train-images.idx3-ubyte")
    assert is_idx_image_file("emnist-balanced-test-images-idx3-ubyte.gz")
    assert not is_idx_image_file("train-labels-idx1-ubyte")
    assert not is_idx_image_file("train-images.jpg")


@pytest.mark.parametrize(
    "name, data, message",
    [
        (
            "train-images-idx3-ubyte",
            idx(np.zeros((6, 5, 7), np.uint8))[:-1],
            r"header says 210 bytes of data \(6 x 5 x 7\). Received: 209",
        ),
        ("train-images-idx3-ubyte", b"", "a file that starts with nothing"),
        (
            "train-images-idx3-ubyte",
            b"<html>no such file</html>",
            "starts with 3c 68 74 6d",
        ),
        (
            "train-labels-idx1-ubyte",
            idx(np.zeros(5, np.uint8)),
            "one label for each of the 6 images of train-images-idx3-ubyte",
        ),
        ("train-images-idx3-ubyte.gz", b"no gzip", "cannot be read"),
        (
            "other-train-images-idx3-ubyte",
            idx(np.zeros((6, 5, 7), np.uint8)),
            "several files of train images",
        ),
    ],
)
def test_damaged_files_are_named(folder, name, data, message):
    if name.endswith(".gz"):
        (folder / name[:-3]).unlink()
    (folder / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        load_idx(str(folder))


@pytest.mark.skipif(not _DEBIAN.exists(), reason="package is not installed")
def test_fashion_mnist_as_debian_installs_it():
    splits = open_dataset(DataConfig(dataset=str(_DEBIAN)))
    assert splits.train.pixels.array.shape == (60_000, 28, 28, 3)
    assert np.bincount(splits.train.labels).tolist() == [6000] * 10
    assert np.bincount(splits.evaluation.labels).tolist() == [1000] * 10
