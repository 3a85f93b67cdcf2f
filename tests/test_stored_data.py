"""Later modes open the images that a run learned from, or none."""

import dataclasses
import types

import numpy as np
import pytest
import tiny

from tf_simclr.config import Config
from tf_simclr.config.flat import from_flat, to_flat
from tf_simclr.config.paths import (
    path_options,
    same_place,
    with_absolute_paths,
)
from tf_simclr.data.sources.identity import content_checksum, ids_checksum
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import UserError
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.training.run_record import DatasetRecord, RunRecord


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.write_npz(tmp_path)
    return tmp_path


def stored_run(dataset, **flags):
    """A stored run on `dataset`, and the configuration of a later mode."""
    values = {"dataset": str(dataset), "eval_fraction": 0.0, **flags}
    config = from_flat({**values, "model_dir": "later"})
    train = open_dataset(config.data).train
    found = DatasetRecord(
        name=str(dataset),
        train_images=len(train),
        ids=ids_checksum(train),
        content=content_checksum(train),
        class_names=train.class_names,
    )
    record = RunRecord(stage="pretrain", dataset=found)
    stored = types.SimpleNamespace(
        path="runs/a", record=record, config=to_flat(config)
    )
    # As stored weights hand it on: nothing of it was given.
    return dataclasses.replace(config, inherited=config.given), stored


def rewrite(change):
    with np.load("tiny.npz") as archive:
        arrays = dict(archive)
    np.savez("tiny.npz", **change(arrays))


def fewer(arrays):
    return {name: values[:6] for name, values in arrays.items()}


def only_test(arrays):
    return {name: v for name, v in arrays.items() if "test" in name}


def test_a_relative_path_must_lead_to_the_same_images(here, monkeypatch):
    config, stored = stored_run("tiny.npz")
    check_stored_images(config, stored)
    # Of version 0.1.0.
    old = dataclasses.replace(stored.record.dataset, content=None)
    record = dataclasses.replace(stored.record, dataset=old)
    check_stored_images(
        config, types.SimpleNamespace(**vars(stored) | {"record": record})
    )
    rewrite(fewer)
    with pytest.raises(UserError, match=r"name \(24 then, 6 now.*tiny.npz$"):
        check_stored_images(config, stored)
    given = config.inherited - {"dataset"}
    check_stored_images(dataclasses.replace(config, inherited=given), stored)
    (here / "tiny.npz").unlink()
    with pytest.raises(UserError, match="stored the place .* relative"):
        check_stored_images(config, stored)


def test_a_change_of_the_runs_own_images_is_told(here, capsys):
    config, stored = stored_run(here / "tiny.npz")
    check_stored_images(config, stored)
    # What a later mode evaluates on is its own choice.
    check_stored_images(
        dataclasses.replace(
            config, data=dataclasses.replace(config.data, eval_split="none")
        ),
        stored,
    )
    assert capsys.readouterr().out == ""
    rewrite(fewer)
    check_stored_images(config, stored)
    told = capsys.readouterr().out
    assert "tiny.npz: its training images are not what they were" in told
    assert "(24 then, 6 now)" in told
    rewrite(only_test)
    check_stored_images(config, stored)
    (here / "tiny.npz").unlink()
    with pytest.raises(UserError, match="no longer there: give --dataset"):
        check_stored_images(config, stored)


def test_a_relative_path_without_the_training_images_is_refused(here):
    config, stored = stored_run("tiny.npz")
    rewrite(only_test)
    with pytest.raises(UserError, match="cannot be opened: give --dataset"):
        check_stored_images(config, stored)


def test_names_of_data_sets_stay_names(here):
    config, stored = stored_run("digits", image_size=8)
    (here / "digits").mkdir()
    check_stored_images(config, stored)
    for name in ("mnist", "no_such_folder"):
        asked = from_flat({"dataset": name})
        asked = dataclasses.replace(
            asked, inherited=frozenset({"dataset", "data_dir"})
        )
        if name == "mnist":
            check_stored_images(asked, stored)
            data = dataclasses.replace(asked.data, data_dir="catalogue")
            asked = dataclasses.replace(asked, data=data)
            with pytest.raises(UserError, match="give --data_dir. .*catalog"):
                check_stored_images(asked, stored)
            continue
        with pytest.raises(UserError, match="give --dataset. .*: no_such"):
            check_stored_images(asked, stored)


def test_paths_are_stored_absolute(here):
    assert sorted(path_options()) == [
        "backbone_weights",
        "checkpoint",
        "class_names_file",
        "data_dir",
        "dataset",
        "features",
        "images",
        "label_ids",
        "model_dir",
        "prepare_cache",
        "scratch_dir",
        "teacher",
        "teacher_targets",
        "unlabeled_dataset",
    ]
    values = {
        **to_flat(Config()),
        "dataset": "./tiny.npz",
        "unlabeled_dataset": "t*.npz",
        "model_dir": "runs/new/",
        "data_dir": "gs://bucket/data",
        "label_ids": "",
    }
    found = with_absolute_paths(values)
    changed = {k: v for k, v in found.items() if v != values[k]}
    assert changed == {
        "dataset": str(here / "tiny.npz"),
        "unlabeled_dataset": str(here / "t*.npz"),
        "model_dir": str(here / "runs" / "new"),
    }
    assert with_absolute_paths({"dataset": "mnist"}) == {"dataset": "mnist"}
    (here / "digits").mkdir()
    assert with_absolute_paths({"dataset": "digits"}) == {"dataset": "digits"}


def test_one_place_has_many_names(here):
    (here / "link").symlink_to(here)
    assert same_place(str(here / "a"), str(here / "link" / "a"))
    assert not same_place(str(here / "a"), str(here / "b"))
    assert same_place(None, None) and not same_place(None, "a")
    # As version 0.1.0 stored them.
    assert same_place("./runs/a/", "/home/somebody/runs/a")
    assert same_place("/home/somebody/runs/a", "../runs/a")
    assert not same_place("runs/a", "/home/somebody/runs/aa")
    assert not same_place("uns/a", "/home/somebody/runs/a")
