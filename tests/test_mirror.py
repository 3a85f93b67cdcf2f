"""A folder of object storage and its local copy, there and back."""

import json
import os
import shutil
import threading
import time

import pytest
import tensorflow as tf
from storage_faults import bucket, failing

from tf_simclr.errors import StorageFailed
from tf_simclr.storage import objects
from tf_simclr.storage.lease import LEASE_FILE, Lease
from tf_simclr.storage.mirror import INDEX_FILE, KeptUp, Mirror


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts take no time."""
    monkeypatch.setattr(objects, "time", type("T", (), {"sleep": lambda s: 0}))


def put(folder, **files):
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def stored(address):
    """{name: content} of what the storage holds."""
    return {
        name: objects.read(f"{address}/{name}").decode()
        for name in objects.names_below(address)
        if name not in (INDEX_FILE, LEASE_FILE)
    }


def local(folder):
    return {
        os.path.relpath(path, folder): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_files_travel_to_another_machine(tmp_path):
    address, here, there = bucket(), tmp_path / "here", tmp_path / "there"
    put(here, config_json="{}", checkpoints__ckpt="weights")
    first = Mirror(address, str(here))
    assert first.fetch() == 0
    assert first.send() == 2
    assert first.send() == 0
    second = Mirror(address, str(there))
    assert second.fetch() == 2
    assert local(there) == local(here) == stored(address)


def test_only_what_changed_is_copied(tmp_path):
    address = bucket()
    put(tmp_path, a="1", b="2", c="3")
    mirror = Mirror(address, str(tmp_path))
    mirror.fetch()
    mirror.send()
    put(tmp_path, a="new")
    (tmp_path / "b").unlink()
    assert mirror.has_changed()
    assert mirror.send() == 1
    assert not mirror.has_changed()
    assert stored(address) == {"a": "new", "c": "3"}


def test_a_copy_that_is_ahead_is_kept(tmp_path):
    # Its process was killed before it could send.
    address = bucket()
    put(tmp_path, a="1", old="x")
    first = Mirror(address, str(tmp_path))
    first.fetch()
    first.send()
    put(tmp_path, a="2", b="3")
    (tmp_path / "old").unlink()
    second = Mirror(address, str(tmp_path))
    assert second.fetch() == 0
    assert local(tmp_path) == {"a": "2", "b": "3"}
    second.send()
    assert stored(address) == {"a": "2", "b": "3"}


def test_a_copy_that_is_behind_gives_way(tmp_path):
    address, here, there = bucket(), tmp_path / "here", tmp_path / "there"
    put(here, a="1", b="2")
    first = Mirror(address, str(here))
    first.fetch()
    first.send()
    second = Mirror(address, str(there))
    second.fetch()
    put(there, a="3", c="4")
    (there / "b").unlink()
    second.send()
    put(here, left="behind")
    assert Mirror(address, str(here)).fetch() == 2
    assert local(here) == {"a": "3", "c": "4"}


def test_files_that_somebody_uploaded_are_taken(tmp_path):
    address = bucket()
    objects.write(f"{address}/checkpoints/ckpt-1.index", b"x")
    assert Mirror(address, str(tmp_path)).fetch() == 1
    assert local(tmp_path) == {"checkpoints/ckpt-1.index": "x"}


def test_what_was_emptied_begins_anew(tmp_path):
    address = bucket()
    put(tmp_path, a="1")
    mirror = Mirror(address, str(tmp_path))
    mirror.fetch()
    mirror.send()
    for name in ("a", INDEX_FILE):
        objects.remove(f"{address}/{name}")
    Mirror(address, str(tmp_path)).fetch()
    assert local(tmp_path) == {}


def test_a_copy_that_vanished_empties_nothing(tmp_path):
    address, folder = bucket(), tmp_path / "run"
    put(folder, a="1")
    mirror = Mirror(address, str(folder))
    mirror.fetch()
    mirror.send()
    shutil.rmtree(folder)
    with pytest.raises(StorageFailed, match="the storage keeps what it holds"):
        mirror.send()
    assert stored(address) == {"a": "1"}


def test_a_listing_that_lags_matters_to_nobody(tmp_path, monkeypatch):
    address, here, there = bucket(), tmp_path / "here", tmp_path / "there"
    put(here, a="1", b="2")
    mirror = Mirror(address, str(here))
    mirror.fetch()
    mirror.send()
    monkeypatch.setattr(tf.io.gfile, "walk", lambda place: iter([]))
    monkeypatch.setattr(tf.io.gfile, "listdir", lambda place: [])
    assert Mirror(address, str(there)).fetch() == 2
    assert local(there) == {"a": "1", "b": "2"}


def test_files_are_sent_in_the_order_in_which_they_were_written(
    tmp_path, monkeypatch
):
    names = ["weights.data", "weights.manifest.json", "a_result.json"]
    for number, name in enumerate(names):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (100 + number, 100 + number))
    sent, upload = [], objects.upload

    def noted(path, address, count=None):
        sent.append(os.path.basename(path))
        return upload(path, address, count)

    monkeypatch.setattr(objects, "upload", noted)
    Mirror(bucket(), str(tmp_path)).send()
    assert sent == names


def test_a_file_replaced_while_others_are_sent_is_sent_in_order(
    tmp_path, monkeypatch
):
    # The line of an evaluation must not arrive before the score that its
    # manifest has.
    address, upload = bucket(), objects.upload
    put(tmp_path, manifest="without score", metrics="train\n")
    os.utime(tmp_path / "manifest", (100, 100))
    states = []

    def evaluated(path, target, count=None):
        if not states:
            (tmp_path / "new").write_text("with score")
            os.replace(tmp_path / "new", tmp_path / "manifest")
            with open(tmp_path / "metrics", "a") as file:
                file.write("eval\n")
        checksum = upload(path, target, count)
        states.append(stored(address))
        return checksum

    monkeypatch.setattr(objects, "upload", evaluated)
    Mirror(address, str(tmp_path)).send()
    for state in states:
        if "eval" in state.get("metrics", ""):
            assert state["manifest"] == "with score"
    Mirror(address, str(tmp_path)).send()
    assert stored(address) == local(tmp_path)


def test_the_index_names_what_an_attempt_that_ended_early_copied(
    tmp_path, monkeypatch
):
    address, upload = bucket(), objects.upload
    put(tmp_path, first="1", second="2")
    os.utime(tmp_path / "first", (100, 100))

    def vanishing(path, target, count=None):
        (tmp_path / "second").unlink(missing_ok=True)
        return upload(path, target, count)

    monkeypatch.setattr(objects, "upload", vanishing)
    Mirror(address, str(tmp_path)).send()
    index = json.loads(objects.read(f"{address}/{INDEX_FILE}"))
    assert list(index["files"]) == ["first"]


def test_the_lease_is_renewed_while_a_large_file_is_copied(
    tmp_path, monkeypatch
):
    renewed, upload = [], objects.upload
    monkeypatch.setattr("tf_simclr.storage.mirror.RENEWED_EVERY", 0.05)
    monkeypatch.setattr(Lease, "renew", lambda lease: renewed.append(1))

    def slowly(path, target, count=None):
        before, end = len(renewed), time.monotonic() + 30
        while len(renewed) < before + 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(renewed) >= before + 3
        return upload(path, target, count)

    monkeypatch.setattr(objects, "upload", slowly)
    with kept_up(bucket(), tmp_path):
        put(tmp_path, weights="large")


def test_hidden_and_unfinished_files_stay_here(tmp_path):
    put(tmp_path, a="1")
    (tmp_path / ".lock").write_text("x")
    (tmp_path / ".writing-a").mkdir()
    (tmp_path / ".writing-a" / "a").write_text("half")
    address = bucket()
    Mirror(address, str(tmp_path)).send()
    assert stored(address) == {"a": "1"}


def test_a_damaged_index_is_told(tmp_path):
    address = bucket()
    objects.write(f"{address}/{INDEX_FILE}", b"{}")
    with pytest.raises(StorageFailed, match="is damaged: remove it"):
        Mirror(address, str(tmp_path)).fetch()


def kept_up(address, folder, **options):
    lease = Lease(address)
    lease.take()
    return KeptUp(Mirror(address, str(folder)), lease, **options)


def test_a_checkpoint_is_sent_while_the_run_goes_on(tmp_path):
    address, end = bucket(), time.monotonic() + 60
    with kept_up(address, tmp_path):
        put(tmp_path, **{"checkpoints__ckpt-1_manifest_json": "{}"})
        name = "checkpoints/ckpt-1.manifest.json"
        while name not in stored(address) and time.monotonic() < end:
            time.sleep(0.1)
        assert stored(address) == {name: "{}"}
        put(tmp_path, result_json="{}")
    assert set(stored(address)) == {name, "result.json"}
    assert not objects.exists(f"{address}/{LEASE_FILE}")


def test_a_failure_at_the_end_says_where_the_files_are(
    tmp_path, monkeypatch, waits
):
    address = bucket()
    message = f"What was not copied lies in {tmp_path}; the same command"
    with (
        pytest.raises(StorageFailed, match=message),
        failing(monkeypatch, "rename", 0),
        kept_up(address, tmp_path),
    ):
        put(tmp_path, a="1")
        monkeypatch.setattr(objects.tf.io.gfile, "rename", broken)
    assert local(tmp_path) == {"a": "1"}


def broken(*args, **kwargs):
    raise tf.errors.UnavailableError(None, None, "503")


def test_another_error_is_not_hidden_by_one_of_the_storage(
    tmp_path, monkeypatch, waits, capsys
):
    with pytest.raises(ZeroDivisionError), kept_up(bucket(), tmp_path):
        put(tmp_path, a="1")
        monkeypatch.setattr(objects.tf.io.gfile, "rename", broken)
        raise ZeroDivisionError
    assert "cannot write" in capsys.readouterr().err


def test_nothing_is_sent_after_another_process_took_over(tmp_path):
    address = bucket()
    with (
        pytest.raises(StorageFailed, match="has been taken over"),
        kept_up(address, tmp_path),
    ):
        put(tmp_path, a="1")
        Lease(address, respected_for=0.1).take()
    assert stored(address) == {}


def test_a_copy_that_could_not_be_made_is_not_sent(tmp_path, waits):
    address = bucket()
    objects.write(f"{address}/{INDEX_FILE}", b"damaged")
    put(tmp_path, a="1")
    with pytest.raises(StorageFailed), kept_up(address, tmp_path):
        pass
    assert objects.read(f"{address}/{INDEX_FILE}") == b"damaged"
    assert not objects.exists(f"{address}/{LEASE_FILE}")
    assert threading.active_count() < 50


def test_the_index_names_sizes_and_checksums(tmp_path):
    address = bucket()
    put(tmp_path, a="123456789")
    Mirror(address, str(tmp_path)).send()
    index = json.loads(objects.read(f"{address}/{INDEX_FILE}"))
    # The check value of CRC-32.
    assert index["files"] == {"a": [9, 0xCBF43926]}
