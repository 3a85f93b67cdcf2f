"""`--mode=suggest`: files, rounds, features from wherever, refusals."""

import csv
import json
import pathlib

import numpy as np
import pictures
import pytest
import tiny

from tf_simclr.config.flat import from_flat
from tf_simclr.errors import UserError
from tf_simclr.evaluation.feature_file import FeatureFile, open_features
from tf_simclr.labels.label_book import open_book
from tf_simclr.modes.suggest import suggest


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """Twelve images without a class."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    return pictures.write_photos(folder, {".": 12})


def suggested(folder, dataset, **flags) -> list[dict[str, str]]:
    flags = {"label_budget": 4, "image_size": 8, **flags}
    config = from_flat(
        {
            "mode": "suggest",
            "model_dir": str(folder),
            "dataset": str(dataset),
            **flags,
        }
    )
    config.check()
    path = suggest(config)
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_without_a_network(photos, tmp_path, capsys):
    rows = suggested(tmp_path, photos, copy_suggested=True)
    assert len(rows) == 4
    for row in rows:
        assert (photos / row["path"]).is_file()
        assert list(row) == ["path", "cluster", "reason", "label"]
        assert row["label"] == "" and row["reason"]
    said = capsys.readouterr().out
    assert "thumbnails, which say little about what they show" in said
    said = said.replace(" \\\n    ", " ")
    assert f"--mode=label --model_dir={tmp_path}" in said
    assert (tmp_path / "to_label.png").read_bytes()[1:4] == b"PNG"
    copies = sorted((tmp_path / "to_label").rglob("*.*"))
    assert len(copies) == 4
    first = (tmp_path / "to_label").rglob("0001-*")
    source = photos / rows[0]["path"]
    assert next(first).read_bytes() == source.read_bytes()
    ids, features = open_features(str(tmp_path / "features.npz"))
    assert len(ids) == 12 and features.shape == (12, 12)


def test_rounds_go_on_where_no_label_is(photos, tmp_path, capsys):
    first = suggested(tmp_path, photos)
    again = suggested(tmp_path, photos)
    assert first == again
    # The labels of the page, and one that is of none of the classes.
    *labelled, odd = first
    lines = [f"{row['path']},{'ab'[i % 2]}" for i, row in enumerate(labelled)]
    (tmp_path / "labels.csv").write_text("path,label\n" + "\n".join(lines))
    capsys.readouterr()
    second = suggested(tmp_path, photos)
    assert len(second) == 4
    assert not {row["path"] for row in second} & {x["path"] for x in labelled}
    assert "3 have a label" in capsys.readouterr().out
    # The page's journal is the truth, and knows what is none of the classes.
    with open_book(str(tmp_path)) as book:
        book.label({labelled[0]["path"]: 0}, "a")
        book.exclude({odd["path"]: 0})
    third = suggested(tmp_path, photos, label_budget=12)
    assert len(third) == 10 and "1 have a label" in capsys.readouterr().out
    (tmp_path / "labels.jsonl").unlink()
    (tmp_path / "labels.csv").write_text("path,label\nno/such.png,a\n")
    with pytest.raises(UserError, match="that are not among those .*no/such"):
        suggested(tmp_path, photos)


def test_features_from_elsewhere(photos, tmp_path):
    ids = sorted(path.name for path in photos.iterdir())
    rng = np.random.default_rng(0)
    features = rng.normal(size=(13, 5)).astype(np.float16)
    path = tmp_path / "foundation.npz"
    # In another order, and of one image more.
    names = [*ids[::-1], "another.png"]
    np.savez_compressed(path, ids=np.array(names), features=features)
    rows = suggested(tmp_path / "out", photos, features=str(path))
    assert len(rows) == 4
    found, values = open_features(str(tmp_path / "out" / "features.npz"))
    assert list(found) == ids
    assert np.array_equal(values, features[:12][::-1])
    np.savez(path, ids=np.array(ids[:-1]), features=features[:11])
    with pytest.raises(UserError, match="no features of 1 of the 12 images"):
        suggested(tmp_path / "out", photos, features=str(path))
    np.savez(path, ids=np.array([*ids, ids[3]]), features=features[:13])
    with pytest.raises(UserError, match=f"twice. Received: {ids[3]}"):
        suggested(tmp_path / "out", photos, features=str(path))
    with pytest.raises(UserError, match="give one of them"):
        suggested(tmp_path, photos, features=str(path), checkpoint="runs/a")


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"ids": ["a"]}, "needs arrays `ids` and `features`"),
        ({"ids": ["a"], "features": np.ones(1)}, r"needs `features` \(N, d\)"),
        ({"ids": [1], "features": np.ones((1, 2))}, "N strings as `ids`"),
        ({"ids": ["a"], "features": np.ones((2, 2))}, "Received: float64"),
        (
            {"ids": ["a", "b"], "features": [[1.0, 1.0], [np.inf, 0.0]]},
            "no finite numbers: .*Received: b$",
        ),
    ],
)
def test_archives_of_other_arrays_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UserError, match=message):
        open_features(str(tmp_path / "a.npz"))
    (tmp_path / "b.npz").write_bytes(b"PK and more")
    with pytest.raises(UserError, match="is no archive of features"):
        open_features(str(tmp_path / "b.npz"))


def test_features_stay_on_disk(tmp_path):
    values = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    file = FeatureFile(str(tmp_path), 7)
    file.append({"ids": np.array(list("abcdefg")), "features": values})
    file.pack(str(tmp_path / "a.npz"))
    ids, found = open_features(str(tmp_path / "a.npz"))
    assert ids == tuple("abcdefg")
    assert isinstance(found, np.memmap) and np.array_equal(found, values)


def test_nothing_is_left_to_label(tmp_path):
    dataset = tiny.write_npz(tmp_path)
    with pytest.raises(UserError, match="All 24 images .* have a label"):
        suggested(tmp_path / "out", dataset)
    rows = suggested(tmp_path / "out", dataset, ignore_labels=True)
    assert len(rows) == 4 and rows[0]["path"].split("/")[-1].isdigit()
    record = json.loads((tmp_path / "out" / "suggestion.json").read_text())
    assert record["flags"] == {"ignore_labels": True, "image_size": 8}
    assert record["dataset"] == dataset


@pytest.mark.slow
def test_a_run_and_what_follows(tmp_path, capsys):
    """Pretrain on unlabelled images, suggest, label by hand, fine-tune."""
    dataset = tiny.write_npz(tmp_path)
    base = [f"--dataset={dataset}", "--ignore_labels"]
    folder, pretrained = tmp_path / "labels", tmp_path / "pretrained"

    def run(*flags: str) -> None:
        found = tiny.run(*base, *flags, program=tiny.ONE_BLOCK)
        assert found.returncode == 0, found.stderr

    run("--mode=pretrain", f"--model_dir={pretrained}", *tiny.FLAGS)
    run(
        *("--mode=suggest", "--label_budget=9"),
        *(f"--checkpoint={pretrained}", f"--model_dir={folder}"),
    )
    with open(folder / "to_label.csv", newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    with np.load(dataset) as archive:
        true = archive["y_train"]
    lines = [f"{name},c{true[int(name.split('/')[-1])]}" for name in names]
    labels = folder / "labels.csv"
    labels.write_text("path,label\n" + "\n".join(lines))
    run(
        *("--mode=finetune", f"--checkpoint={pretrained}", *tiny.FLAGS),
        *(f"--label_ids={labels}", f"--model_dir={tmp_path / 'finetuned'}"),
    )
    record = json.loads((tmp_path / "finetuned" / "labels.json").read_text())
    assert sorted(record["ids"]) == sorted(names)
    assert record["count"] == 9
