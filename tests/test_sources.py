"""Digits, .npz archives, TensorFlow Datasets, and parts of splits."""

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.sources.image_set import ImageSet, join_unlabelled
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.source import Source
from tf_simclr.errors import UserError


def opened(**flags):
    return open_dataset(DataConfig(**flags))


def test_digits_are_split_for_good():
    splits = opened(dataset="digits", image_size=16)
    assert splits.train.pixels.array.shape == (1437, 16, 16, 3)
    assert splits.evaluation.pixels.array.shape == (360, 16, 16, 3)
    assert splits.train.pixels.array.dtype == np.uint8
    assert not set(splits.train.ids) & set(splits.evaluation.ids)
    counts = np.bincount(splits.evaluation.labels)
    assert counts.min() >= 34 and counts.max() <= 38
    assert splits.train.class_names == tuple("0123456789")


def test_digits_keep_their_pixels_at_their_own_size():
    from sklearn.datasets import load_digits

    splits = opened(dataset="digits", image_size=8)
    index = int(splits.train.ids[0].split("/")[1])
    expected = np.round(load_digits().images[index] / 16 * 255)
    assert np.array_equal(splits.train.pixels.array[0, ..., 0], expected)


def test_parts_of_splits():
    whole = opened(dataset="digits", image_size=8).train
    splits = opened(
        dataset="digits",
        image_size=8,
        train_split="train[:80%]",
        eval_split="train[80%:]",
    )
    assert len(splits.train) == 1150
    assert splits.train.ids + splits.evaluation.ids == whole.ids


@pytest.mark.parametrize(
    "split, message",
    [
        ("training", "has no split 'training'; it has train, test"),
        ("train[2000:]", "beyond the 1437 images"),
        ("train[a:]", "is written as NAME"),
        ("train[", "is written as NAME"),
    ],
)
def test_bad_splits_are_named(split, message):
    with pytest.raises(UserError, match=message):
        opened(dataset="digits", image_size=8, train_split=split)


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (20, 9, 9), dtype=np.uint8),
        "y_train": (np.arange(20) % 3).astype("int64")[:, None],
        "x_test": rng.integers(0, 256, (5, 9, 9), dtype=np.uint8),
        "y_test": np.arange(5) % 3,
    }


def saved(tmp_path, arrays) -> str:
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return str(path)


def test_npz_with_keras_names(tmp_path, arrays):
    splits = opened(dataset=saved(tmp_path, arrays))
    assert splits.train.pixels.array.shape == (20, 9, 9, 3)
    assert splits.train.class_names == ("0", "1", "2")
    assert splits.evaluation.labels.tolist() == [0, 1, 2, 0, 1]


def test_npz_of_floats_without_labels_or_test_part(tmp_path, arrays):
    floats = (arrays["x_train"] / 255.0).astype("float32")
    splits = opened(dataset=saved(tmp_path, {"x_train": floats}))
    assert np.array_equal(splits.train.pixels.array[..., 0], arrays["x_train"])
    assert not splits.train.has_labels
    assert splits.evaluation is None


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": np.zeros((4, 9, 9, 2), "uint8")}, "or 3 channels"),
        ({"x_train": np.full((20, 9, 9), 200.0)}, "floats outside"),
        ({"x_train": np.zeros((20, 9, 9), "complex")}, "must be uint8"),
        ({"x_train": np.zeros((0, 9, 9), "uint8")}, "holds no image"),
        ({"y_train": np.zeros(3, "int64")}, "one integer label"),
        ({"y_train": np.full(20, -2)}, "labels from 0"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, change, message):
    with pytest.raises(UserError, match=message):
        opened(dataset=saved(tmp_path, {**arrays, **change}))


def test_files_that_are_no_archive(tmp_path):
    path = tmp_path / "broken.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="cannot be read"):
        opened(dataset=str(path))
    with pytest.raises(UserError, match="there is no file"):
        opened(dataset=str(tmp_path / "missing.npz"))
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="must hold an array x_train"):
        opened(dataset=str(tmp_path / "other.npz"))


@pytest.mark.filterwarnings("ignore")
def test_tensorflow_datasets(tmp_path):
    import tensorflow_datasets as tfds

    builder = tfds.testing.DummyMnist(data_dir=str(tmp_path))
    builder.download_and_prepare()
    splits = opened(dataset="dummy_mnist", data_dir=str(tmp_path))
    assert splits.train.pixels.array.shape == (20, 28, 28, 3)
    assert splits.train.class_names == tuple("0123456789")
    # It has no 'validation', the default of --eval_split.
    assert splits.evaluation.name == "test"
    assert len(set(splits.train.ids) | set(splits.evaluation.ids)) == 40


@pytest.mark.filterwarnings("ignore")
def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="neither 'digits', nor"):
        opened(dataset="no_such_dataset")


def images_of(*ids):
    pixels = ArrayPixels(np.zeros((len(ids), 4, 4, 3), np.uint8))
    labels = np.zeros(len(ids), np.int32)
    return ImageSet("train", pixels, labels, ("a",), ids)


def test_ids_are_unique_over_all_splits():
    names = [f"i/{number}" for number in range(5)]
    splits = {"train": images_of(*names), "test": images_of("a", *names)}
    with pytest.raises(UserError, match="Received: 'i/0', 'i/1', 'i/2' and 2"):
        Source(splits)
    with pytest.raises(UserError, match="Received: 'a'$"):
        Source({"train": images_of("a", "b", "a")})
    assert len(Source({"train": images_of("a"), "test": images_of("b")})) == 2


def test_joined_images_have_ids_of_their_own():
    first = images_of("unlabeled_dataset/a", "b")
    joined = join_unlabelled(first, [images_of("a"), images_of("c")])
    assert len(set(joined.ids)) == 4
    # Without such a folder they are called as ever.
    joined = join_unlabelled(images_of("a"), [images_of("a")])
    assert joined.ids == ("a", "unlabeled_dataset/a")
