"""TFRecord shards."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.config import DataConfig
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.records import (
    is_shard,
    list_records,
    write_shard,
)
from tf_simclr.errors import UserError


def encoded(images) -> list[bytes]:
    return [
        images.pixels.stored(tf.constant(index)).numpy()
        for index in range(len(images))
    ]


def write(tmp_path, name: str, *records) -> str:
    write_shard(str(tmp_path / name), records)
    return str(tmp_path)


def test_what_is_written_is_read(tmp_path):
    first = [(b"one", 1, "dog"), (b"two", 0, "cat")]
    write(tmp_path, "train-00000-of-00002.tfrecord", *first)
    write(tmp_path, "train-00001-of-00002.tfrecord", (b"three", -1, ""))
    write(tmp_path, "val-00000-of-00001.tfrecord", (b"four", 1, "dog"))
    splits = list_records(str(tmp_path)).splits
    assert list(splits) == ["train", "validation"]
    train = splits["train"]
    assert encoded(train) == [b"one", b"two", b"three"]
    assert train.labels.tolist() == [1, 0, -1]
    assert train.class_names == ("cat", "dog")
    assert train.ids[-1] == "train-00001-of-00002.tfrecord/0"
    assert encoded(splits["validation"]) == [b"four"]
    taken = train.take(np.array([2, 0]))
    assert encoded(taken) == [b"three", b"one"]


def test_classes_by_name_alone_and_by_number_alone(tmp_path):
    place = write(tmp_path, "a.tfrecord", (b"x", -1, "b"), (b"y", -1, "a"))
    train = list_records(place).splits["train"]
    assert train.class_names == ("a", "b")
    assert train.labels.tolist() == [1, 0]
    place = write(tmp_path, "a.tfrecord", (b"x", 2, ""), (b"y", 0, ""))
    train = list_records(place).splits["train"]
    assert train.class_names == ("0", "1", "2")


def test_a_pattern_chooses_shards(tmp_path):
    write(tmp_path, "train-1.tfrecord", (b"one", 0, ""))
    write(tmp_path, "train-2.tfrecord", (b"two", 0, ""))
    write(tmp_path, "other.tfrecord", (b"three", 0, ""))
    pattern = str(tmp_path / "train-*.tfrecord")
    config = DataConfig(dataset=pattern, scan_images=False)
    assert encoded(open_dataset(config).train) == [b"one", b"two"]


def test_shards_of_one_name_keep_their_images_apart(tmp_path):
    for folder, image in (("a", b"one"), ("b", b"two")):
        (tmp_path / folder).mkdir()
        shard = tmp_path / folder / "train-0.tfrecord"
        write_shard(str(shard), [(image, 0, ""), (image + b"s", 1, "")])
    (tmp_path / "c").symlink_to(tmp_path / "b")
    write(tmp_path / "b", "train-1.tfrecord", (b"three", 0, ""))
    pattern = str(tmp_path / "[abc]" / "*.tfrecord")
    chosen = tmp_path / "ids.txt"
    chosen.write_text("a/train-0.tfrecord/0\nb/train-0.tfrecord/1\n")
    config = DataConfig(
        dataset=pattern, scan_images=False, label_ids=str(chosen)
    )
    opened = open_dataset(config)
    # As before where a name is the only one of its kind.
    assert opened.train.ids == (
        "a/train-0.tfrecord/0",
        "a/train-0.tfrecord/1",
        "b/train-0.tfrecord/0",
        "b/train-0.tfrecord/1",
        "train-1.tfrecord/0",
    )
    assert encoded(opened.train)[:4] == [b"one", b"ones", b"two", b"twos"]
    subset = choose_labels(opened.train, config)
    assert encoded(opened.train.take(subset.indices)) == [b"one", b"twos"]
    assert opened.notices == (
        "shards of train: a/train-0.tfrecord, b/train-0.tfrecord,"
        " train-1.tfrecord",
        "left out 2 links to shards that are read already",
    )


@pytest.mark.parametrize(
    "name, expected",
    [
        ("a.tfrecord", True),
        ("train.tfrecord-00000-of-00010", True),
        ("a.tfrecords", True),
        ("a.tfrecord.txt", False),
        ("train-00000-of-00010", True),
        # Of checkpoints and exports.
        ("ckpt-1.data-00000-of-00001", False),
        ("variables.data-00000-of-00001", False),
    ],
)
def test_names(name, expected):
    assert is_shard(name) == expected


def test_damaged_shards_are_named(tmp_path):
    place = write(tmp_path, "a.tfrecord", (b"x" * 99, 0, ""), (b"y", 0, ""))
    data = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "a.tfrecord").write_bytes(data[:-1])
    with pytest.raises(UserError, match=r"a\.tfrecord is damaged behind byte"):
        list_records(place)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord"), "GZIP") as writer:
        writer.write(b"x")
    with pytest.raises(UserError, match=r"a\.tfrecord is compressed"):
        list_records(place)
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(UserError, match="no image in the TFRecord shards"):
        list_records(place)


def test_other_features_are_named(tmp_path):
    values = tf.train.BytesList(value=[b"x"])
    feature = {"picture": tf.train.Feature(bytes_list=values)}
    features = tf.train.Features(feature=feature)
    example = tf.train.Example(features=features)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(UserError, match="'image/encoded'. Received: picture"):
        list_records(str(tmp_path))
    place = write(tmp_path, "a.tfrecord", (b"x", -2, ""))
    with pytest.raises(UserError, match="a class from 0 .* Received: -2"):
        list_records(place)
