"""Whatever the folders and tables are called: nothing is lost, and no test
image is trained on."""

import csv
import io
import os
import tempfile

import hypothesis
from hypothesis import strategies

from tf_simclr.config.data import FOLDER_LAYOUTS
from tf_simclr.data.sources.layout import read_layout
from tf_simclr.data.sources.split_names import is_unlabelled, split_of
from tf_simclr.data.sources.table import read_table
from tf_simclr.errors import UserError

# The same examples in every run.
hypothesis.settings.register_profile(
    "same", derandomize=True, deadline=None, max_examples=400
)
hypothesis.settings.load_profile("same")

NAMES = strategies.sampled_from(
    [
        *("train", "Training", "val", "dev", "test", "TEST_SET", "holdout"),
        *("unlabeled", "no_labels", "labelled", "images", "data", "seg_test"),
        *("ant", "bee", "caf\u00e9", "2020", "test_tube", "x\ny", " "),
    ]
)
FOLDERS = strategies.lists(
    strategies.lists(NAMES, max_size=4).map("/".join), min_size=1, unique=True
)


@hypothesis.given(FOLDERS, strategies.sampled_from(FOLDER_LAYOUTS))
def test_every_folder_has_its_place_or_all_are_refused(folders, layout):
    try:
        found = read_layout(folders, "DATA", layout)
    except UserError as error:
        assert "--folder_layout=" in str(error)
        return
    assert found.places.keys() == set(folders)
    for folder, (split, label) in found.places.items():
        parts = folder.split("/")
        assert split in ("train", "validation", "test")
        assert label is None or label in parts
        if layout != "auto" or any(map(is_unlabelled, parts)):
            continue
        # What is called a test image, at the level that says so, is none to
        # train on.
        splits = [split_of(part) for part in parts if part != label]
        if "test" in splits and "train" not in splits:
            assert split != "train", folder


@hypothesis.given(FOLDERS)
def test_the_order_of_folders_does_not_matter(folders):
    def read(names):
        try:
            return read_layout(names, "DATA").places
        except UserError:
            return None

    assert read(folders) == read(folders[::-1])


TEXTS = strategies.text(
    strategies.characters(exclude_categories=["Cs", "Cc"]), max_size=6
)
ROWS = strategies.lists(
    strategies.tuples(TEXTS.map(lambda text: f"a{text.strip()}.png"), TEXTS),
    min_size=1,
    max_size=8,
)


@hypothesis.given(
    ROWS,
    strategies.sampled_from([",", ";", "\t", "|"]),
    strategies.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    strategies.sampled_from([None, ("path", "label"), ("File Name", "Class")]),
)
def test_tables_hold_what_was_written(rows, separator, encoding, header):
    text = io.StringIO()
    # Quoted, so that every separator is told from what lies between.
    writer = csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows] if header else rows)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "list.csv")
        with open(path, "wb") as file:
            file.write(text.getvalue().encode(encoding))
        found = [row[1:] for row in read_table(path, (".png",))]
    assert found == [(path.strip(), label.strip(), "") for path, label in rows]
