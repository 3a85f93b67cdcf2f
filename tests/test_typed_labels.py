"""Labels that a person types into to_label.csv or labels.csv."""

import csv
import json
import pathlib

import numpy as np
import pytest

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError
from tf_simclr.files import write_csv
from tf_simclr.labels.label_book import open_book, read_labels
from tf_simclr.labels.typed_labels import (
    book_with_typed_labels,
    keep_typed_labels,
)

IDS = ("cats/1", "cats/2", "3", "4")


def images() -> ImageSet:
    return ImageSet(
        name="train",
        pixels=ArrayPixels(np.zeros((4, 2, 2, 3), np.uint8)),
        labels=np.full(4, -1),
        ids=IDS,
        class_names=(),
    )


def suggest(folder: pathlib.Path, *labels: str) -> None:
    rows = [
        (name, 0, "typical", label)
        for name, label in zip(IDS, labels, strict=False)
    ]
    titles = ("path", "cluster", "reason", "label")
    write_csv(str(folder / "to_label.csv"), [titles, *rows])


def stored(folder: pathlib.Path) -> dict[str, str]:
    with open(folder / "labels.csv", newline="") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}


def test_labels_of_the_list_go_into_the_journal(tmp_path, capsys):
    suggest(tmp_path, "cat", "", "dog")
    keep_typed_labels(str(tmp_path), images())
    assert stored(tmp_path) == {"cats/1": "cat", "3": "dog"}
    assert read_labels(str(tmp_path)) == stored(tmp_path)
    assert "2 labels typed into its tables" in capsys.readouterr().out
    # A list written anew takes nothing away, and nothing is taken twice.
    suggest(tmp_path, "cat", "")
    keep_typed_labels(str(tmp_path), images())
    assert stored(tmp_path) == {"cats/1": "cat", "3": "dog"}
    assert len((tmp_path / "labels.jsonl").read_text().splitlines()) == 2


def test_without_labels_nothing_is_written(tmp_path):
    suggest(tmp_path, "", "")
    keep_typed_labels(str(tmp_path), images())
    keep_typed_labels(str(tmp_path / "none"), images())
    assert [path.name for path in tmp_path.iterdir()] == ["to_label.csv"]


def test_a_table_of_ones_own_stays_until_more_is_typed(tmp_path):
    path = tmp_path / "labels.csv"
    text = "path,label\ncats/1,cat\n"
    path.write_text(text)
    suggest(tmp_path, "", "")
    keep_typed_labels(str(tmp_path), images())
    assert path.read_text() == text
    suggest(tmp_path, "", "cat")
    keep_typed_labels(str(tmp_path), images())
    assert stored(tmp_path) == {"cats/1": "cat", "cats/2": "cat"}


def test_the_page_keeps_a_table_of_ones_own(tmp_path):
    (tmp_path / "labels.csv").write_text("path,label\ncats/1,cat\n4,dog\n")
    with book_with_typed_labels(str(tmp_path), images()) as book:
        book.label({"3": 0}, "dog")
    assert stored(tmp_path) == {"cats/1": "cat", "4": "dog", "3": "dog"}


def test_lines_added_to_the_table_of_the_page_are_kept(tmp_path):
    with open_book(str(tmp_path)) as book:
        book.label({"3": 0}, "dog")
        undone = book.label({"4": 0}, "dog")
        book.undo(undone)
    with open(tmp_path / "labels.csv", "a") as file:
        file.write("cats/1,cat,\n4,dog,\n")
    with book_with_typed_labels(str(tmp_path), images()):
        pass
    # What was undone on the page stays so.
    assert stored(tmp_path) == {"3": "dog", "cats/1": "cat"}


def test_another_label_than_the_pages_is_said(tmp_path, capsys):
    with open_book(str(tmp_path)) as book:
        book.label({"3": 0}, "dog")
    suggest(tmp_path, "cat", "", "cat")
    keep_typed_labels(str(tmp_path), images())
    assert stored(tmp_path) == {"3": "dog", "cats/1": "cat"}
    said = capsys.readouterr().out
    assert "calls 1 images otherwise" in said and "--mode=label" in said


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("5,cat", "names images that are not among those of --dataset: 5"),
        ("3,cat\n3,dog", "calls 3 'dog', an earlier row 'cat'"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path, rows, message):
    path = tmp_path / "to_label.csv"
    path.write_text(f"path,label\n{rows}\n")
    before = path.read_bytes()
    with pytest.raises(UserError, match=message):
        keep_typed_labels(str(tmp_path), images())
    assert path.read_bytes() == before


def test_names_are_as_on_the_page(tmp_path):
    suggest(tmp_path, "e\u0301te\u0301")
    keep_typed_labels(str(tmp_path), images())
    event = json.loads((tmp_path / "labels.jsonl").read_text())
    assert event["class"] == "\u00e9t\u00e9"
