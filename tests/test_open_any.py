"""Data sets as people have them, opened from a folder or a file."""

import shutil

import numpy as np
import pictures
import pytest
import tensorflow as tf

from tf_simclr import process
from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import from_flat
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.records import ENCODED, LABEL, TEXT, write_shard
from tf_simclr.errors import UserError

PNG = pictures.encode(pictures.tile(3, 12, 12), "PNG")


def write(root, *names: str, data: bytes = PNG):
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # No copies of one another: decoders stop in front of the number.
        path.write_bytes(data + bytes([number]))
    return root


def opened(path, **flags):
    process.release()
    return open_dataset(DataConfig(dataset=str(path), **flags))


def classes(images) -> list[str | None]:
    names = (*images.class_names, None)
    return [names[label] for label in images.labels]


def numbered(*folders: str, count: int = 3) -> list[str]:
    return [f"{folder}/{i}.png" for folder in folders for i in range(count)]


def test_a_competition_with_unlabelled_test_images(tmp_path):
    write(tmp_path, *numbered("train/ant", "train/bee", "test", count=4))
    found = opened(tmp_path, eval_fraction=0.25)
    assert (len(found.train), len(found.evaluation)) == (3 + 3 + 4, 2)
    assert np.sum(found.train.labels == -1) == 4
    assert set(classes(found.evaluation)) == {"ant", "bee"}
    assert found.notices == (
        "the split 'test' has no labels: its 4 images count as unlabelled"
        " training images",
    )
    whole = opened(tmp_path)
    assert len(whole.train) == 12 and whole.evaluation is None


@pytest.mark.parametrize(
    "name",
    ["old.tfrecord", "ant/train-00000-of-00002", "t10k-images-idx3-ubyte"],
)
def test_other_files_beside_photographs_are_refused(tmp_path, name):
    write(tmp_path, *numbered("ant", "bee"), name)
    with pytest.raises(UserError) as caught:
        opened(tmp_path)
    assert name in str(caught.value) and "ant/0.png" in str(caught.value)


def test_classes_are_numbered_when_bad_images_are_gone(tmp_path):
    write(tmp_path, *numbered("ant", "cow", count=5))
    write(tmp_path, "bee/0.png", data=b"")
    found = opened(tmp_path, bad_images="skip")
    assert found.train.class_names == ("ant", "cow")
    assert sorted(set(found.train.labels)) == [0, 1]
    assert "classes without an image that can be read: bee" in found.notices


def test_splits_whose_names_are_composed_in_two_ways(tmp_path):
    write(tmp_path, *numbered("train/caf\u00e9", "train/bee"))
    write(tmp_path, *numbered("test/cafe\u0301", "test/bee"))
    found = opened(tmp_path)
    assert found.train.class_names == ("bee", "caf\u00e9")
    assert set(classes(found.evaluation)) == {"bee", "caf\u00e9"}


def test_what_is_no_image_is_named(tmp_path):
    write(tmp_path, *numbered("ant", "bee"), "ant/a.mp4", "bee/none")
    (notice,) = opened(tmp_path).notices
    assert notice == (
        "left out 2 other files (1 .mp4, 1 without extension): ant/a.mp4,"
        " bee/none"
    )


def test_a_folder_wins_over_an_embedded_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(opened("digits", image_size=8).train) == 1437
    # As runs of that name leave behind.
    write(tmp_path, "digits/result.json", "digits/curves.png")
    write(tmp_path, "digits/pretrain/config.json", "digits/pretrain/views.png")
    assert len(opened("digits", image_size=8).train) == 1437
    shutil.rmtree(tmp_path / "digits")
    write(tmp_path, *numbered("digits/one", "digits/two"))
    found = opened("digits")
    assert found.train.class_names == ("one", "two")
    assert "digits, not the data set 'digits'" in found.notices[0]


def test_a_list_of_images_that_are_elsewhere_is_told_once(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("".join(f"im/{i}.png,a\n" for i in range(50)))
    with pytest.raises(UserError) as caught:
        opened(path)
    assert str(caught.value) == (
        f"None of the 50 images that {path} names exists, such as"
        f" {tmp_path}/im/0.png: paths are relative to the folder that the list"
        " lies in."
    )


def archive(path, **arrays):
    np.savez(path, **arrays)
    return path


X = 200 * np.random.default_rng(0).integers(0, 2, (6, 8, 8, 3), np.uint8)


def test_splits_of_archives(tmp_path):
    labels = np.array([0, 1, 0, 1, 0, 1])
    found = opened(
        archive(
            tmp_path / "a.npz",
            train_images=X,
            train_labels=labels[:, None].astype(np.uint64),
            x_val=X[:4],
            y_val=labels[:4],
            x_test=X[:2],
            y_test=labels[:2],
            names=np.array(["a", "b"]),
        )
    )
    assert (len(found.train), len(found.evaluation)) == (6, 4)
    assert found.train.labels.tolist() == labels.tolist()
    assert found.notices == ("arrays that are not read: names",)


@pytest.mark.parametrize(
    "labels, notice",
    [
        ([1, 2, 1, 2, 1, 2], "1 of the 3 classes have no training image: 0"),
        ([0, 5, 0, 5, 0, 5], "4 of the 6 classes have no training image"),
        ([0, 0, 0, 0, 0, 0], "there is only one class, '0'"),
    ],
)
def test_gaps_in_the_numbers_of_classes_are_told(tmp_path, labels, notice):
    path = archive(tmp_path / "a.npz", x_train=X, y_train=labels)
    (found,) = opened(path).notices
    assert found.startswith(notice)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x_train": X, "y_train": np.full(6, 2**31)}, "from 0 to below 1,048"),
        (
            {"x_train": X, "y_train": np.full(6, 2**63, np.uint64)},
            "Received: 9223372036854775808 to 92",
        ),
        ({"x_train": X[:, :0]}, r"holds no image. Received: shape \(6, 0, 8"),
        (
            {"x_train": X, "images_train": X},
            "Received: x_train and images_trai",
        ),
        (
            {
                "x_train": X,
                "y_train": [0] * 6,
                "x_test": X,
                "y_test": [0, 0, 0, 0, 0, 1],
            },
            "The split 'test' of .* has the class '1', which its training",
        ),
    ],
)
def test_archives_that_cannot_be_right(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        opened(archive(tmp_path / "a.npz", **arrays))


def test_files_that_are_no_archives(tmp_path):
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(UserError, match=r"it is a single array \(.npy\)"):
        opened(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
        opened(tmp_path / "b.npz")


def test_images_of_zeros_and_ones_are_told(tmp_path):
    path = archive(tmp_path / "a.npz", x_train=X // 200)
    (notice,) = opened(path).notices
    assert "nearly black: none of their values is above 1, of 255" in notice


def records(*labels, name="") -> list:
    return [
        (PNG + bytes([number]), label, name and f"{name}{label}")
        for number, label in enumerate(labels)
    ]


def write_example(path, **features):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(4):
            feature = {
                key.replace("__", "/"): make(number)
                for key, make in features.items()
            }
            found = tf.train.Features(feature=feature)
            writer.write(tf.train.Example(features=found).SerializeToString())
    return path


def of_bytes(value: bytes):
    values = tf.train.BytesList(value=[value])
    return lambda number: tf.train.Feature(bytes_list=values)


def of_integer(number: int):
    values = tf.train.Int64List(value=[number % 2])
    return tf.train.Feature(int64_list=values)


def of_float(number: int):
    values = tf.train.FloatList(value=[number % 2])
    return tf.train.Feature(float_list=values)


@pytest.mark.parametrize(
    "names, split",
    [
        (
            ("mydata-train-00000-of-00001.tfrecord", "mydata-test-1.tfrec"),
            "test",
        ),
        (("train-00000-of-01024", "validation-00000-of-00128"), "validation"),
        (("flowers_train.tfrecord", "flowers_val.tfrecords"), "validation"),
        (("train/a.tfrecord", "dev/a.tfrecord"), "validation"),
    ],
)
def test_splits_of_shards_go_by_their_names(tmp_path, names, split):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_shard(str(tmp_path / name), records(0, 1, 1))
    found = opened(tmp_path, eval_split=split)
    assert (len(found.train), len(found.evaluation)) == (3, 3)
    assert found.notices[0].startswith("shards of train: ")
    assert found.notices[1].startswith(f"shards of {split}: ")


def test_shards_of_no_split_beside_others_are_refused(tmp_path):
    for name in ("train.tfrecord", "rest.tfrecord"):
        write_shard(str(tmp_path / name), records(0, 1))
    with pytest.raises(UserError, match=r"\(train.tfrecord\) .* \(rest.tfr"):
        opened(tmp_path)


def test_features_of_other_names_are_taken_and_told(tmp_path):
    write_example(
        tmp_path / "a.tfrecord", image=of_bytes(PNG), label=of_integer
    )
    found = opened(tmp_path)
    assert found.train.labels.tolist() == [0, 1, 0, 1]
    assert (
        "features of other names are taken: 'image' and 'label'"
        in found.notices
    )


@pytest.mark.parametrize(
    "features, message",
    [
        (
            {ENCODED: of_bytes(PNG), LABEL: of_float},
            "must hold its class in 'image/class/label' as int64. Rec.*float",
        ),
        ({"pixels": of_bytes(PNG)}, "bytes in 'image/encoded'. Rec.* pixels"),
    ],
)
def test_features_that_cannot_be_right(tmp_path, features, message):
    features = {k.replace("/", "__"): v for k, v in features.items()}
    write_example(tmp_path / "a.tfrecord", **features)
    with pytest.raises(UserError, match=message):
        opened(tmp_path)


def test_records_that_are_no_examples(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(PNG)
    with pytest.raises(UserError, match="Example 0 of .* (is no|must hold)"):
        opened(tmp_path)


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
def test_compressed_shards_are_told(tmp_path, kind):
    path = str(tmp_path / "a.tfrecord")
    with tf.io.TFRecordWriter(path, kind) as writer:
        writer.write(PNG)
    with pytest.raises(UserError, match="is compressed"):
        opened(tmp_path)


def test_names_and_numbers_of_classes_go_together(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    write_shard(
        path, records(0, 1, name="c") + [(PNG, -1, "c1"), (PNG, -1, "")]
    )
    train = opened(tmp_path).train
    assert classes(train) == ["c0", "c1", "c1", None]
    write_shard(path, [*records(0, name="c"), (PNG, 0, "other")])
    with pytest.raises(UserError, match="class 0 is called 'c0' and 'other'"):
        opened(tmp_path)
    write_shard(path, [*records(0, name="c"), (PNG, -1, "other")])
    with pytest.raises(UserError, match=f"'other' in '{TEXT}' and no number"):
        opened(tmp_path)


def test_archives_and_other_files_are_told(tmp_path):
    for name, message in (
        ("photos.tar.gz", "not an archive: unpack it, and name the folder"),
        ("Photos.ZIP", "not an archive"),
        ("notes.docx", "this file is none of them"),
    ):
        (tmp_path / name).touch()
        with pytest.raises(UserError, match=message):
            opened(tmp_path / name)
        write(tmp_path / "good", *numbered("ant", "bee"))
        with pytest.raises(UserError) as caught:
            opened(tmp_path / "good", unlabeled_dataset=str(tmp_path / name))
        assert str(caught.value).startswith("--unlabeled_dataset takes ")


def test_home_and_variables_stand_for_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PHOTOS", "mine")
    for path in ("~/mine", "$HOME/${PHOTOS}"):
        config = from_flat({"dataset": path, "model_dir": "~/runs/a"})
        assert config.data.dataset == str(tmp_path / "mine")
        assert config.run.model_dir == str(tmp_path / "runs" / "a")
    assert from_flat({"dataset": "$NOBODY/x"}).data.dataset == "$NOBODY/x"
