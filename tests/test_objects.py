"""Reading and writing objects, and what happens where the storage fails."""

import os
import zlib

import pytest
import tensorflow as tf
from storage_faults import bucket, failing

from tf_simclr.errors import StorageFailed, UserError
from tf_simclr.storage import objects


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)


def test_an_object_is_what_was_written_last():
    address = f"{bucket()}/a/b.json"
    assert objects.read(address) is None
    assert objects.signature(address) is None
    objects.write(address, b"a longer content")
    objects.write(address, b"short")
    assert objects.read(address) == b"short"
    assert objects.signature(address)[0] == 5


def test_files_come_and_go_with_their_checksum(tmp_path):
    content = os.urandom(20_000_000)
    path, address = tmp_path / "weights", f"{bucket()}/weights"
    path.write_bytes(content)
    assert objects.upload(str(path), address) == zlib.crc32(content)
    copy = tmp_path / "new" / "copy"
    assert objects.download(address, str(copy)) == zlib.crc32(content)
    assert copy.read_bytes() == content
    assert os.listdir(copy.parent) == ["copy"]


def test_a_file_that_grows_is_copied_up_to_a_length(tmp_path):
    path, address = tmp_path / "log", f"{bucket()}/log"
    path.write_text("one\ntwo\n")
    objects.upload(str(path), address, 4)
    assert objects.read(address) == b"one\n"
    objects.upload(str(path), address, 0)
    assert objects.read(address) == b""


def test_what_is_not_there_is_no_failure(tmp_path):
    place = bucket()
    assert objects.download(f"{place}/x", str(tmp_path / "x")) is None
    assert not os.listdir(tmp_path)
    objects.remove(f"{place}/x")
    assert not objects.exists(f"{place}/x")
    assert objects.names_in(place) == []


def test_names_are_those_of_whole_objects():
    place = bucket()
    for name in ("b", "a/c", ".writing-1-x"):
        objects.write(f"{place}/{name}", b"x")
    assert objects.names_below(place) == ["a/c", "b"]
    assert objects.matching(f"{place}/b*") == [f"{place}/b"]
    assert objects.each(objects.exists, [f"{place}/b", f"{place}/z"]) == [
        True,
        False,
    ]


@pytest.mark.parametrize("name", ["GFile", "rename", "makedirs"])
def test_a_write_that_fails_for_a_moment_succeeds(monkeypatch, name):
    address = f"{bucket()}/a"
    with failing(monkeypatch, name, 2) as failures:
        objects.write(address, b"whole")
    assert len(failures) == 2
    assert objects.read(address) == b"whole"
    assert objects.names_below(os.path.dirname(address)) == ["a"]


def test_a_storage_that_stays_away_is_named(monkeypatch):
    address = f"{bucket()}/a"
    objects.write(address, b"before")
    with (
        failing(monkeypatch, "rename", 99),
        pytest.raises(StorageFailed, match=f"cannot write {address}: 503"),
    ):
        objects.write(address, b"after")
    assert objects.read(address) == b"before"


def test_what_will_not_pass_is_not_tried_again(monkeypatch):
    denied = tf.errors.PermissionDeniedError(None, None, "403 for you")
    with (
        failing(monkeypatch, "exists", 99, denied) as failures,
        pytest.raises(StorageFailed, match="403 for you"),
    ):
        objects.exists("ram://x")
    assert len(failures) == 1


def test_a_scheme_without_a_file_system_is_refused():
    objects.check_scheme("gs://bucket/run", "model_dir")
    with pytest.raises(UserError, match="gs://.*--model_dir=s3://b/run"):
        objects.check_scheme("s3://b/run", "model_dir")
