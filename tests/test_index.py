"""Indexes of listed sources, on disk and in memory."""

import os
import pathlib

import numpy as np
import pytest

from tf_simclr import process
from tf_simclr.data.sources.folder import list_folder
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.index import (
    index_file,
    listed_source,
    read_index,
    store_index,
    write_index,
)
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.records import list_records, write_shard
from tf_simclr.data.sources.source import Source, stamp


@pytest.fixture
def photos(tmp_path) -> pathlib.Path:
    folder = tmp_path / "photos"
    for name in ("train/katze/ü.jpg", "train/dog/b.jpg", "test/dog/c.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    # Long ago, so that a change shows on any clock.
    for place, _, _ in os.walk(folder):
        os.utime(place, (1e9, 1e9))
    return folder


def assert_equal(first: Source, second: Source) -> None:
    assert list(first.splits) == list(second.splits)
    for one, other in zip(
        first.splits.values(), second.splits.values(), strict=True
    ):
        assert one.name == other.name
        assert one.ids == other.ids
        assert one.class_names == other.class_names
        assert np.array_equal(one.labels, other.labels)
    assert first.notices == second.notices
    assert first.stamps == second.stamps
    assert first.bad == second.bad
    assert first.scanned == second.scanned


def test_a_folder_is_read_back(tmp_path, photos):
    source = list_folder(str(photos))
    path = index_file(str(tmp_path), "key")
    write_index(path, "key", source)
    found = read_index(path, "key")
    assert_equal(found, source)
    assert found.splits["train"].pixels == source.splits["train"].pixels


def test_record_shards_are_read_back(tmp_path):
    write_shard(str(tmp_path / "a.tfrecord"), [(b"x", 1, "b"), (b"y", 0, "")])
    source = list_records(str(tmp_path))
    path = index_file(str(tmp_path / ".."), "key")
    write_index(path, "key", source)
    found = read_index(path, "key")
    assert_equal(found, source)
    images = found.splits["train"]
    assert images.pixels.stored(np.int64(1)).numpy() == b"y"


def test_an_index_that_does_not_fit_is_not_read(tmp_path, photos):
    path = index_file(str(tmp_path), "key")
    assert read_index(path, "key") is None
    write_index(path, "key", list_folder(str(photos)))
    assert read_index(path, "other") is None
    data = pathlib.Path(path).read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"no archive"):
        pathlib.Path(path).write_bytes(damaged)
        assert read_index(path, "key") is None


def test_an_index_with_two_images_of_one_id_is_not_read(tmp_path, photos):
    # As version 0.1.0 wrote it of shards of one name.
    source = list_folder(str(photos))
    first = source.splits["train"]
    twice = first.take(np.array([0, 0]))
    source.splits["train"] = twice
    path = index_file(str(tmp_path), "key")
    write_index(path, "key", source)
    assert read_index(path, "key") is None
    source.splits["train"] = first
    write_index(path, "key", source)
    assert read_index(path, "key") is not None


@pytest.mark.parametrize("change", ["add", "remove", "move the folder"])
def test_an_index_out_of_date_is_not_read(tmp_path, photos, change):
    path = index_file(str(tmp_path), "key")
    write_index(path, "key", list_folder(str(photos)))
    assert read_index(path, "key") is not None
    if change == "add":
        (photos / "train" / "dog" / "new.jpg").touch()
    elif change == "remove":
        (photos / "test" / "dog" / "c.jpg").unlink()
    else:
        photos.rename(tmp_path / "elsewhere")
    assert read_index(path, "key") is None


@pytest.fixture
def counted(photos):
    """A function that opens the photos, and how often they were listed."""
    process.release()
    listings = []

    def build() -> Source:
        listings.append(1)
        return list_folder(str(photos))

    def open_photos(*folders, **flags) -> Source:
        found = [str(folder) for folder in folders]
        return listed_source("key", build, found, scan=False, **flags)

    return open_photos, listings


def forget() -> None:
    """As another process starts."""
    process.release()


def test_one_process_lists_once(photos, counted):
    open_photos, listings = counted
    assert open_photos() is open_photos()
    assert len(listings) == 1
    (photos / "train" / "dog" / "new.jpg").touch()
    assert len(open_photos()) == 4
    assert len(listings) == 2


def test_another_process_reads_the_index(tmp_path, counted):
    open_photos, listings = counted
    first, second = tmp_path / "first", tmp_path / "second"
    open_photos(first)
    assert not first.exists()
    store_index("key", str(first), [str(first)])
    forget()
    source = open_photos(second, first)
    assert (len(listings), len(source)) == (1, 3)
    # It has one in reach, and needs none of its own.
    store_index("key", str(second), [str(second), str(first)])
    assert not second.exists()
    store_index("key", str(second), [str(second)])
    assert os.path.exists(index_file(str(second), "key"))


def test_refreshing_lists_anew_once(tmp_path, counted):
    open_photos, listings = counted
    open_photos(tmp_path)
    store_index("key", str(tmp_path), [str(tmp_path)])
    forget()
    open_photos(tmp_path)
    assert len(listings) == 1
    open_photos(tmp_path, refresh=True)
    open_photos(tmp_path, refresh=True)
    assert len(listings) == 2
    store_index("key", str(tmp_path), [str(tmp_path)])
    forget()
    open_photos(tmp_path)
    assert len(listings) == 2


def test_a_million_files_start_without_being_looked_at(tmp_path, monkeypatch):
    count, folders = 1_000_000, 1000
    ids = tuple(f"class{i % folders}/image{i}.jpg" for i in range(count))
    images = ImageSet(
        name="train",
        pixels=FilePixels(str(tmp_path), ids),
        labels=(np.arange(count) % folders).astype(np.int32),
        class_names=tuple(f"class{i}" for i in range(folders)),
        ids=ids,
    )
    places = [str(tmp_path / f"class{i}") for i in range(folders)]
    stamps = {place: stamp(place) for place in places}
    source = Source({"train": images}, stamps=stamps, scanned=True)
    path = index_file(str(tmp_path), "key")
    write_index(path, "key", source)
    assert os.path.getsize(path) < 50 * count
    asked, listings = [], []
    real = os.stat

    def counting(path, **flags):
        asked.append(path)
        return real(path, **flags)

    monkeypatch.setattr(os, "stat", counting)
    monkeypatch.setattr(os, "scandir", listings.append)
    found = read_index(path, "key")
    # Each folder once, and the index itself.
    assert folders <= len(asked) <= folders + 5
    assert not listings
    assert found.splits["train"].ids == ids
    assert found.splits["train"].pixels.path(7) == str(tmp_path / ids[7])
