"""Local copies of images and weights on object storage."""

import os

import pytest
from storage_faults import bucket, failing

from tf_simclr.errors import UserError
from tf_simclr.storage import objects, read_copies
from tf_simclr.storage.addresses import scratch_folder
from tf_simclr.storage.read_copies import copy_images, copy_path


@pytest.fixture
def scratch(tmp_path):
    return scratch_folder(str(tmp_path / "scratch"))


def fill(place, *names):
    for name in names:
        objects.write(f"{place}/{name}", name.encode())


def below(folder):
    return sorted(
        os.path.relpath(os.path.join(place, name), folder)
        for place, _, names in os.walk(folder)
        for name in names
    )


def test_a_folder_comes_whole(scratch, capsys):
    place = f"{bucket()}/photos"
    fill(place, "cat/1.jpg", "dog/2.jpg", "dog/3.jpg")
    copy = copy_images(place, "dataset", scratch)
    assert os.path.basename(copy) == "photos"
    assert below(copy) == ["cat/1.jpg", "dog/2.jpg", "dog/3.jpg"]
    assert f"{place}: copying 3 of 3 files" in capsys.readouterr().out


def test_what_has_gone_from_the_storage_goes_from_the_copy(scratch):
    place = f"{bucket()}/photos"
    fill(place, "cat/1.jpg", "dog/2.jpg")
    copy_images(place, "dataset", scratch)
    objects.remove(f"{place}/cat/1.jpg")
    fill(place, "dog/3.jpg")
    assert below(copy_images(place, "dataset", scratch)) == [
        "dog/2.jpg",
        "dog/3.jpg",
    ]


def test_files_are_copied_once_and_again_when_they_change(scratch, tmp_path):
    # In memory there are no times of change.
    source = tmp_path / "bucket" / "photos"
    source.mkdir(parents=True)
    for name in ("a", "b"):
        (source / name).write_text(name)
    read, download = [], objects.download

    def noted(address, path):
        read.append(os.path.basename(address))
        return download(address, path)

    read_copies.objects.download, before = noted, download
    try:
        copy_path(f"file://{source}", "checkpoint", scratch)
        copy_path(f"file://{source}", "checkpoint", scratch)
        (source / "b").write_text("other")
        copy = copy_path(f"file://{source}", "checkpoint", scratch)
    finally:
        read_copies.objects.download = before
    assert sorted(read) == ["a", "b", "b"]
    with open(os.path.join(copy, "b")) as file:
        assert file.read() == "other"


def test_shards_come_by_a_pattern(scratch):
    place = bucket()
    fill(place, "train-00000-of-00002", "train-00001-of-00002", "other")
    copy = copy_images(f"{place}/train-*", "dataset", scratch)
    assert os.path.basename(copy) == "train-*"
    assert below(os.path.dirname(copy)) == [
        "train-00000-of-00002",
        "train-00001-of-00002",
    ]
    with pytest.raises(UserError, match="--dataset: nothing matches ram://"):
        copy_images(f"{place}/validation-*", "dataset", scratch)


def test_a_table_brings_the_images_that_it_names(scratch):
    place = bucket()
    fill(place, "pictures/1.jpg", "pictures/2.PNG", "pictures/not_listed.jpg")
    rows = "id,label\npictures/1.jpg,cat\npictures\\2,dog\nmissing.jpg,dog\n"
    objects.write(f"{place}/labels.csv", rows.encode())
    copy = copy_images(f"{place}/labels.csv", "dataset", scratch)
    found = ["labels.csv", "pictures/1.jpg", "pictures/2.PNG"]
    assert below(os.path.dirname(copy)) == found
    # A second look keeps them.
    copy_images(f"{place}/labels.csv", "dataset", scratch)
    assert below(os.path.dirname(copy)) == found


def test_a_table_does_not_reach_out_of_its_folder(scratch):
    place = bucket()
    fill(place, "secret.jpg", "data/1.jpg")
    rows = "path\n../secret.jpg\n/etc/passwd\n1.jpg\n"
    objects.write(f"{place}/data/list.csv", rows.encode())
    copy = copy_images(f"{place}/data/list.csv", "dataset", scratch)
    assert below(os.path.dirname(copy)) == ["1.jpg", "list.csv"]


def test_a_checkpoint_comes_with_what_its_run_says(scratch):
    run = f"{bucket()}/run"
    fill(
        run,
        *("config.json", "labels.json", "saved_model/4/saved_model.pb"),
        *("checkpoints/ckpt-2.index", "checkpoints/ckpt-4.index"),
        *("checkpoints/ckpt-4.data-00000-of-00001",),
        "checkpoints/ckpt-4.manifest.json",
    )
    copy = copy_path(f"{run}/checkpoints/ckpt-4", "checkpoint", scratch)
    assert copy.endswith("run/checkpoints/ckpt-4")
    assert below(os.path.dirname(os.path.dirname(copy))) == [
        "checkpoints/ckpt-4.data-00000-of-00001",
        "checkpoints/ckpt-4.index",
        "checkpoints/ckpt-4.manifest.json",
        "config.json",
        "labels.json",
    ]


def test_a_checkpoint_of_others_comes_alone(scratch):
    place = bucket()
    fill(place, "model.ckpt-1.index", "model.ckpt-1.data-0", "other.index")
    copy = copy_path(f"{place}/model.ckpt-1", "checkpoint", scratch)
    assert below(os.path.dirname(copy)) == [
        "model.ckpt-1.data-0",
        "model.ckpt-1.index",
    ]


def test_what_is_not_there_is_named(scratch):
    address = f"{bucket()}/x"
    with pytest.raises(UserError, match=f"--teacher: .*Received: {address}"):
        copy_path(address, "teacher", scratch)


def test_copies_that_do_not_fit_are_refused_before_the_first(
    scratch, monkeypatch
):
    place = f"{bucket()}/photos"
    fill(place, "1.jpg")
    usage = type("Usage", (), {"free": 3})
    monkeypatch.setattr(read_copies.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="name another place with --scratch_d"):
        copy_images(place, "dataset", scratch)


def test_a_storage_that_fails_for_a_moment_is_asked_again(scratch, monkeypatch):
    monkeypatch.setattr(objects.time, "sleep", lambda seconds: None)
    place = bucket()
    fill(place, "x.npz")
    with failing(monkeypatch, "stat", 1), failing(monkeypatch, "GFile", 2):
        copy = copy_images(f"{place}/x.npz", "dataset", scratch)
    assert below(os.path.dirname(copy)) == ["x.npz"]
