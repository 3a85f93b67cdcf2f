"""Pixels in memory, in files and in record shards, by index."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.sources.pixels import (
    ArrayPixels,
    FilePixels,
    RecordPixels,
)


def read_all(pixels, indices) -> list[bytes]:
    """Pixels that a `tf.data` pipeline reads."""
    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(indices))
    dataset = dataset.map(pixels.stored, num_parallel_calls=2)
    return list(dataset.as_numpy_iterator())


def test_arrays():
    array = np.arange(4 * 2 * 3 * 3, dtype=np.uint8).reshape(4, 2, 3, 3)
    pixels = ArrayPixels(array)
    assert len(pixels) == 4
    assert pixels.size == (2, 3)
    taken = pixels.take(np.array([3, 1])).array
    assert np.array_equal(taken, array[[3, 1]])


def test_files(tmp_path):
    (tmp_path / "größe").mkdir()
    names = ("a.jpg", "größe/b.png", str(tmp_path / "elsewhere.gif"))
    for index, name in enumerate(names):
        (tmp_path / name).write_bytes(bytes([index]) * (index + 1))
    pixels = FilePixels(str(tmp_path), names)
    assert len(pixels) == 3
    assert pixels.size is None
    assert read_all(pixels, [2, 0, 1]) == [b"\2\2\2", b"\0", b"\1\1"]
    taken = pixels.take(np.array([1]))
    assert taken.path(0) == str(tmp_path / "größe/b.png")
    assert read_all(taken, [0]) == [b"\1\1"]


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> RecordPixels:
    """Five examples in two shards; example i holds i + 1 bytes of value i."""
    folder = tmp_path_factory.mktemp("records")
    shards, places = [], []
    for shard, members in enumerate(([0, 1, 2], [3, 4])):
        shards.append(str(folder / f"{shard}.tfrecord"))
        with tf.io.TFRecordWriter(shards[-1]) as writer:
            start = 0
            for index in members:
                data = bytes([index]) * (index + 1)
                values = tf.train.BytesList(value=[data])
                feature = {"picture": tf.train.Feature(bytes_list=values)}
                features = tf.train.Features(feature=feature)
                example = tf.train.Example(features=features)
                text = example.SerializeToString()
                writer.write(text)
                # Length and its checksum before, the data's checksum after.
                places.append((shard, start + 12, len(text)))
                start += 12 + len(text) + 4
    shard, offset, length = (
        np.array(part) for part in zip(*places, strict=True)
    )
    return RecordPixels(tuple(shards), shard, offset, length, "picture")


def test_records(records):
    assert len(records) == 5
    assert records.size is None
    expected = [bytes([index]) * (index + 1) for index in range(5)]
    assert read_all(records, range(5)) == expected
    taken = records.take(np.array([4, 0]))
    assert read_all(taken, [0, 1]) == [expected[4], expected[0]]


def test_a_record_that_is_gone_is_an_error_that_names_its_shard(
    records, tmp_path
):
    missing = RecordPixels(
        (str(tmp_path / "gone.tfrecord"),),
        *(np.zeros(1, int) for _ in range(3)),
        "picture",
    )
    with pytest.raises(tf.errors.OpError, match=r"gone\.tfrecord"):
        read_all(missing, [0])
