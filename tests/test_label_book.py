"""The journal of labels: what was answered stays, whatever happens then."""

import csv
import datetime
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import tiny

from tf_simclr.data.sources.image_list import read_image_list
from tf_simclr.errors import UserError
from tf_simclr.labels import label_book
from tf_simclr.labels.label_book import (
    Conflict,
    Entry,
    clean_class_name,
    open_book,
    read_excluded,
    read_labels,
)

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "$HOME ${x} `y`",
    "\"quotes\" and 'others', with; separators | and\\more",
    "__proto__",
    "constructor",
    "x" * 200,
    "👩‍🔬 scientist",
    "=1+1",
    "10",
]


def book(folder):
    return open_book(str(folder))


def journal(folder):
    return folder / "labels.jsonl"


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_labels_are_read_back(tmp_path):
    with book(tmp_path) as labels:
        assert labels.label({"a": 0, "b": 0}, "cat") == 1
        assert labels.label({"c": 0}, "dog") == 2
        assert labels.exclude({"d": 0}) == 3
        assert labels.entry("a") == Entry("cat", False, 1)
        assert labels.classes() == {"cat": 2, "dog": 1}
    expected = {"a": "cat", "b": "cat", "c": "dog"}
    assert read_labels(str(tmp_path)) == expected
    assert read_excluded(str(tmp_path)) == {"d"}
    with book(tmp_path) as labels:
        assert (labels.labels(), labels.excluded()) == (expected, {"d"})
        assert labels.events == 3
    head, (name, label, moment), *_ = table(tmp_path / "labels.csv")
    assert head == ["path", "label", "time"]
    assert (name, label) == ("a", "cat")
    given = datetime.datetime.fromisoformat(moment)
    now = datetime.datetime.now().astimezone()
    assert abs(now - given) < datetime.timedelta(minutes=10)
    assert [row[0] for row in table(tmp_path / "excluded.csv")] == ["path", "d"]


def test_an_event_is_on_the_disk_before_it_counts(tmp_path, monkeypatch):
    sizes = []
    fsync = os.fsync

    def noted(descriptor):
        fsync(descriptor)
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(journal(tmp_path)):
            sizes.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", noted)
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
        assert sizes == [journal(tmp_path).stat().st_size]


def test_a_torn_line_is_dropped_and_cut_off(tmp_path):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
    whole = journal(tmp_path).read_bytes()
    for cut in (1, len(whole) // 2, len(whole) - 1):
        journal(tmp_path).write_bytes(whole + whole[:cut])
        assert read_labels(str(tmp_path)) == {"a": "cat"}
        with book(tmp_path) as labels:
            assert journal(tmp_path).read_bytes() == whole
            labels.label({"b": 0}, "dog")
        assert read_labels(str(tmp_path)) == {"a": "cat", "b": "dog"}


@pytest.mark.parametrize(
    "line", [b"no JSON\n", b"{}\n", b"[]\n", b'{"event": 2}\n', b"\0\0\n"]
)
def test_a_damaged_line_is_named(tmp_path, line):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
    with journal(tmp_path).open("ab") as file:
        file.write(line)
    with pytest.raises(UserError, match=r"labels\.jsonl is damaged: line 2"):
        read_labels(str(tmp_path))


def test_undo_gives_back_what_was(tmp_path):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
        labels.label({"a": 1, "b": 0}, "dog")
        assert labels.last == 2
        assert labels.undo(2) == (3, ("a", "b"))
        assert labels.labels() == {"a": "cat"}
        assert labels.classes() == {"cat": 1, "dog": 0}
        assert labels.entry("b") == Entry(None, False, 3)
        assert labels.last == 1
        # Its image has changed since, and nothing is left of event 2.
        for event in (1, 2, 3, 99, 0):
            with pytest.raises(Conflict):
                labels.undo(event)
        labels.exclude({"b": 3})
        labels.undo(4)
        assert labels.excluded() == set()
    assert read_labels(str(tmp_path)) == {"a": "cat"}


def test_no_older_version_overwrites_a_newer_one(tmp_path):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
        before = journal(tmp_path).read_bytes()
        with pytest.raises(Conflict) as conflict:
            labels.label({"b": 0, "a": 0}, "dog")
        assert conflict.value.ids == ("a",)
        with pytest.raises(Conflict):
            labels.exclude({"a": 0})
        assert labels.labels() == {"a": "cat"}
        assert journal(tmp_path).read_bytes() == before
        labels.label({"a": 1}, "dog")


def test_many_threads_lose_no_label(tmp_path):
    with book(tmp_path) as labels:

        def work(start):
            for number in range(start, start + 20):
                labels.label({f"{number}": 0}, f"class {number % 3}")

        threads = [
            threading.Thread(target=work, args=(start,))
            for start in range(0, 80, 20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = {f"{n}": f"class {n % 3}" for n in range(80)}
    assert read_labels(str(tmp_path)) == expected


def test_tables_follow_soon(tmp_path):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")
        deadline = time.monotonic() + 10
        while len(table(tmp_path / "labels.csv")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    with book(tmp_path) as labels:
        labels.label({"a": 0}, "cat")

        def full(descriptor):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(label_book.os, "fsync", full)
            with pytest.raises(OSError, match="No space"):
                labels.label({"b": 0}, "dog")
        assert labels.labels() == {"a": "cat"}
        labels.label({"c": 0}, "dog")
    assert read_labels(str(tmp_path)) == {"a": "cat", "c": "dog"}


def test_one_process_at_a_time(tmp_path):
    with (
        book(tmp_path),
        pytest.raises(UserError, match=f"--model_dir={tmp_path} is in use by"),
        book(tmp_path),
    ):
        pass
    with book(tmp_path):
        pass


def test_the_table_is_a_data_set(tmp_path):
    names = [f"photo {number}.png" for number in range(len(HOSTILE))]
    photos = tmp_path / "photos"
    photos.mkdir()
    suggestion = {"dataset": str(photos), "flags": {}, "class_names": []}
    (tmp_path / "suggestion.json").write_text(json.dumps(suggestion))
    with book(tmp_path) as labels:
        for name, label in zip(names, HOSTILE, strict=True):
            labels.label({name: 0}, label)
    source = read_image_list(str(tmp_path / "labels.csv"))
    train = source.splits["train"]
    found = {
        os.path.basename(train.pixels.path(place)): train.class_names[label]
        for place, label in enumerate(train.labels)
    }
    assert found == dict(zip(names, HOSTILE, strict=True))
    assert train.pixels.path(0).startswith(str(photos))
    assert train.ids == tuple(names)
    assert source.notices == (f"paths are those of images in {photos}",)
    # A line of the journal is one line, whatever a class is called.
    lines = journal(tmp_path).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["class"] for line in lines] == HOSTILE


@pytest.mark.parametrize("name", HOSTILE)
def test_any_printable_name_is_one(name):
    assert clean_class_name(f"  {name}\t") == name


def test_names_are_composed():
    assert clean_class_name("Ka\u0308fer") == "K\u00e4fer"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "not empty"),
        (" \t\n", "not empty"),
        ("two\nlines", "one line"),
        ("two\u2028lines", "one line"),
        ("bell\a", "control characters"),
        ("half \ud800", "control characters"),
        ("x" * 251, "at most 250 characters"),
    ],
)
def test_other_names_are_refused(name, message, tmp_path):
    with pytest.raises(UserError, match=message):
        clean_class_name(name)
    with book(tmp_path) as labels:
        with pytest.raises(UserError, match=message):
            labels.label({"a": 0}, name)
        with pytest.raises(UserError, match=message):
            labels.add_class(name)
        assert not journal(tmp_path).read_bytes()


def test_a_new_class_is_kept(tmp_path):
    with book(tmp_path) as labels:
        assert labels.add_class(" cat ") == "cat"
        assert labels.add_class("cat") == "cat"
        assert labels.events == 1
        assert labels.last == 0
    with book(tmp_path) as labels:
        assert labels.classes() == {"cat": 0}


def test_reading_needs_no_tensorflow():
    code = (
        "import sys; from tf_simclr.labels.label_book import read_labels;"
        " sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tiny.ROOT, check=True)
