"""Data sets are told apart by their images, not by the way to them."""

import os
import shutil

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.sources.identity import (
    changed_content,
    content_checksum,
    ids_checksum,
)
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.records import write_shard
from tf_simclr.training.run_record import DatasetRecord
from tf_simclr.training.same_run import other_images


def write(folder, count, content):
    """Files that are never decoded here."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:03d}.png").write_text(f"{content} {number}")


def identity(dataset, **flags):
    config = DataConfig(dataset=str(dataset), scan_images=False, **flags)
    train = open_dataset(config).train
    return DatasetRecord(
        ids=ids_checksum(train), content=content_checksum(train)
    )


def other(first, second):
    return other_images(
        DatasetRecord(content=first), DatasetRecord(content=second)
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "fa" / "cat", 3, "a cat")
    write(tmp_path / "fa" / "dog", 150, "a dog")
    return tmp_path / "fa"


def test_a_folder_is_the_same_by_whatever_way(folder):
    wanted = identity("fa")
    os.symlink(folder.parent, "mount")
    shutil.copytree(folder, "copy")
    for place in ("fa/", "./fa", folder, "mount/fa", "copy"):
        assert identity(place) == wanted
    assert identity("fa", train_split="train[:100%]") == wanted


def test_other_pictures_of_the_same_names_are_told(folder):
    wanted = identity("fa")
    write(folder / "dog", 150, "a wolf")
    assert other_images(wanted, identity("fa")) == ["content"]
    write(folder / "dog", 150, "a dog")
    assert identity("fa") == wanted
    write(folder / "cow", 1, "a cow")
    assert "ids" in other_images(wanted, identity("fa"))
    assert "content" not in other_images(wanted, wanted)


def test_a_file_that_was_mended_is_told_and_no_other_data_set(folder):
    wanted = identity("fa")
    sorted((folder / "cat").iterdir())[0].write_text("mended")
    found = identity("fa")
    changed, compared = changed_content(wanted.content, found.content)
    assert other_images(wanted, found) == []
    assert (changed, compared) == (1, 100)


def test_what_cannot_be_read_is_not_compared(folder):
    config = DataConfig(dataset="fa", scan_images=False)
    train = open_dataset(config).train
    shutil.rmtree(folder)
    unread, known = content_checksum(train), "0" * 400
    assert changed_content(unread, known) == (0, 0)
    for first, second in ((known, unread), ("0", None), (None, "0")):
        assert other(first, second) == []
    assert other("1", "0") == ["content"]


def test_shards_and_arrays_are_told_apart_by_content(tmp_path):
    found = []
    for number, value in enumerate((b"one", b"two", b"one")):
        place = tmp_path / str(number)
        place.mkdir()
        write_shard(str(place / "a.tfrecord"), [(value, 0, "")] * 3)
        found.append(identity(place))
    assert found[0] == found[2]
    assert other_images(found[0], found[1]) == ["content"]
    found = []
    for number, value in enumerate((0, 1, 0)):
        place = tmp_path / f"{number}" / "a.npz"
        images = np.full((4, 8, 8), value, np.uint8)
        np.savez(place, x_train=images, y_train=np.zeros(4, int))
        found.append(identity(place))
    assert found[0] == found[2]
    assert other_images(found[0], found[1]) == ["content"]
