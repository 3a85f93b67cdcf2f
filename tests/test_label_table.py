"""Labels from a table beside the images."""

import pathlib

import numpy as np
import pictures
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.label_table import is_label_table, read_label_table
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """Ten images without a class."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    return pictures.write_photos(folder, {".": 10})


def opened(dataset, table, **flags):
    config = DataConfig(
        dataset=str(dataset),
        label_ids=str(table),
        scan_images=False,
        **flags,
    )
    splits = open_dataset(config)
    return splits, choose_labels(splits.train, config)


def write(path: pathlib.Path, text: str) -> pathlib.Path:
    path.write_text(text)
    return path


def test_an_unlabelled_folder_gets_labels(photos, tmp_path):
    names = sorted(path.name for path in photos.iterdir())
    # By id, by path, without a class, and in any Unicode form.
    table = write(
        tmp_path / "labels.csv",
        "file,label,path\n"
        f"{names[3]},kiwi,\n{photos / names[1]},cafe\u0301,\n{names[0]},,\n",
    )
    splits, subset = opened(photos, table)
    assert splits.train.class_names == ("café", "kiwi")
    expected = np.full(10, -1)
    expected[1], expected[3] = 0, 1
    assert splits.train.labels.tolist() == expected.tolist()
    assert subset.ids == (names[1], names[3])
    # Read again when it has changed.
    write(table, f"file,label\n{names[2]},kiwi\n{names[4]},owl\n")
    splits, subset = opened(photos, table)
    assert subset.ids == (names[2], names[4])
    assert subset.class_names == ("kiwi", "owl")


def test_labels_count_for_the_cut(photos, tmp_path):
    names = sorted(path.name for path in photos.iterdir())
    rows = "".join(f"{n},{'ab'[i % 2]}\n" for i, n in enumerate(names[:8]))
    table = write(tmp_path / "labels.csv", f"file,label\n{rows}")
    splits, subset = opened(photos, table, eval_fraction=0.5)
    assert len(splits.evaluation) == 4
    assert splits.evaluation.class_names == ("a", "b")
    assert len(subset) == 4
    assert not set(subset.ids) & set(splits.evaluation.ids)


def test_a_table_corrects_labels(tmp_path):
    folder = pictures.write_photos(tmp_path / "own", {"ant": 3, "bee": 3})
    source = open_dataset(DataConfig(dataset=str(folder), scan_images=False))
    first, *_, last = source.train.ids
    table = write(
        tmp_path / "labels.tsv", f"id\tclass\n{first}\tbee\n{last}\twasp\n"
    )
    splits, subset = opened(folder, table)
    assert splits.train.class_names == ("ant", "bee", "wasp")
    assert splits.train.labels.tolist() == [1, 0, 0, 1, 1, 2]
    assert subset.ids == (first, last)
    (notice,) = [x for x in splits.notices if "otherwise" in x]
    assert notice.endswith("otherwise than the data set: 2")


@pytest.mark.parametrize(
    "text, message",
    [
        ("file,label\nno.png,a\n", "names images that are not among .*no.png"),
        ("file,label\na.png,a\na.png,b\n", "Row 3 .* calls a.png 'b', an ear"),
        ("file,label\na.png,\n", "names no class of any image"),
        ("", "names no class of any image"),
    ],
)
def test_what_cannot_be_is_refused(photos, tmp_path, text, message):
    table = write(tmp_path / "labels.csv", text)
    with pytest.raises(UserError, match=message):
        opened(photos, table)


def test_a_table_that_is_not_there(photos, tmp_path):
    with pytest.raises(UserError, match="--label_ids: there is no file"):
        opened(photos, tmp_path / "labels.csv")


def test_only_tables_are_tables():
    assert is_label_table("a/labels.csv") and is_label_table("B.TSV")
    assert not is_label_table("labels.json") and not is_label_table(None)


def test_predictions_are_labels(tmp_path):
    path = write(
        tmp_path / "predictions.csv",
        "file,class,probability,problem,path\n"
        "a.png,ant,0.9,,/x/a.png\nb.png,,,is empty,/x/b.png\n",
    )
    assert read_label_table(str(path)) == {"a.png": "ant"}
