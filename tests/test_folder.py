"""Folders of images: classes, splits, and all that is no image."""

import os
import re

import pytest

from tf_simclr.data.sources.folder import list_folder
from tf_simclr.errors import UserError


def touch(root, *names: str):
    """Makes empty files; listing opens none."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def labelled(images) -> dict[str, str | None]:
    """{id: class} of a split."""
    names = (*images.class_names, None)
    return {
        name: names[label]
        for name, label in zip(images.ids, images.labels, strict=True)
    }


def test_sub_folders_are_classes_at_any_depth(tmp_path):
    touch(tmp_path, "katze/a.JPG", "katze/2020/mai/b.webp", "hündin/c d.Png")
    source = list_folder(str(tmp_path))
    images = source.splits["train"]
    assert labelled(images) == {
        "hündin/c d.Png": "hündin",
        "katze/a.JPG": "katze",
        "katze/2020/mai/b.webp": "katze",
    }
    assert images.class_names == ("hündin", "katze")
    assert images.pixels.path(0) == str(tmp_path / "hündin" / "c d.Png")
    assert source.notices == ()


def test_a_flat_folder_has_no_labels(tmp_path):
    touch(tmp_path, "b.jpg", "a.jpeg", "c.gif", "d.bmp", "e.jfif")
    images = list_folder(str(tmp_path)).splits["train"]
    assert images.ids == ("a.jpeg", "b.jpg", "c.gif", "d.bmp", "e.jfif")
    assert not images.has_labels
    assert images.class_names == ()


def test_numbered_classes_come_in_order_of_number(tmp_path):
    touch(tmp_path, "10/a.jpg", "9/a.jpg", "1/a.jpg")
    images = list_folder(str(tmp_path)).splits["train"]
    assert images.class_names == ("1", "9", "10")


def test_images_without_a_class_beside_classes(tmp_path):
    touch(tmp_path, "cat/a.jpg", "Unlabeled/deep/b.jpg", "loose.png")
    source = list_folder(str(tmp_path))
    assert labelled(source.splits["train"]) == {
        "cat/a.jpg": "cat",
        "Unlabeled/deep/b.jpg": None,
        "loose.png": None,
    }
    (beside,) = source.notices
    assert beside.endswith("count as unlabelled: 1")


def test_splits(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "train/dog/b.jpg", "val/dog/c.jpg")
    touch(
        tmp_path, "Test/cat/d.jpg", "unlabeled/e.jpg", "train/unlabeled/f.jpg"
    )
    splits = list_folder(str(tmp_path)).splits
    assert list(splits) == ["train", "validation", "test"]
    assert labelled(splits["train"]) == {
        "train/cat/a.jpg": "cat",
        "train/dog/b.jpg": "dog",
        "train/unlabeled/f.jpg": None,
        "unlabeled/e.jpg": None,
    }
    assert labelled(splits["validation"]) == {"val/dog/c.jpg": "dog"}
    assert labelled(splits["test"]) == {"Test/cat/d.jpg": "cat"}


def test_a_class_called_train_is_one_where_that_is_said(tmp_path):
    touch(tmp_path, "train/a.jpg", "test/b.jpg", "bus/c.jpg")
    with pytest.raises(UserError, match=r"\(train, test\) beside .* \(bus\)"):
        list_folder(str(tmp_path))
    splits = list_folder(str(tmp_path), "classes").splits
    assert list(splits) == ["train"]
    assert splits["train"].class_names == ("bus", "test", "train")


def test_an_unlabelled_training_part_takes_the_classes_of_the_others(tmp_path):
    touch(tmp_path, "train/a.jpg", "test/dog/b.jpg")
    splits = list_folder(str(tmp_path)).splits
    assert not splits["train"].has_labels
    assert labelled(splits["test"]) == {"test/dog/b.jpg": "dog"}


def test_a_class_that_only_the_test_part_has_is_refused(tmp_path):
    touch(tmp_path, "train/cat/a.jpg", "test/cow/b.jpg")
    with pytest.raises(UserError, match="'test' of .* has the class 'cow'"):
        list_folder(str(tmp_path))


def test_what_is_left_out(tmp_path):
    touch(tmp_path, "cat/a.jpg", "dog/b.jpg", "dog/Thumbs.db", "readme.txt")
    touch(tmp_path, ".hidden/c.jpg", "cat/.d.jpg", "__MACOSX/cat/e.jpg")
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    touch(tmp_path, "dog/f.mp4", "dog/g.mp4")
    source = list_folder(str(tmp_path))
    assert source.splits["train"].ids == ("cat/a.jpg", "dog/b.jpg")
    assert source.splits["train"].class_names == ("cat", "dog")
    others, empty = source.notices
    assert others == (
        "left out 4 other files (2 .mp4, 1 .db, 1 .txt): dog/Thumbs.db,"
        " dog/f.mp4, dog/g.mp4, readme.txt"
    )
    assert empty == "left out 1 folder without an image (empty/inner)"


def test_only_what_holds_a_run_is_one(tmp_path):
    touch(tmp_path, "cat/a.jpg", "cat/index-old.npz", "dog/b.jpg")
    touch(tmp_path, "dog/config.json")
    images = list_folder(str(tmp_path)).splits["train"]
    assert images.ids == ("cat/a.jpg", "dog/b.jpg")


def test_folders_of_runs_are_left_out(tmp_path):
    touch(tmp_path, "cat/a.jpg", "dog/b.jpg")
    touch(tmp_path, "runs/first/config.json", "runs/first/checkpoints/x.index")
    touch(tmp_path, "runs/first/figures/views.png")
    touch(tmp_path, "runs/all/index-0123abcd.npz", "runs/all/curves.png")
    touch(tmp_path, "seen/features.npz", "seen/projector_config.pbtxt")
    touch(tmp_path, "seen/map.png")
    source = list_folder(str(tmp_path))
    assert source.splits["train"].class_names == ("cat", "dog")
    (notice,) = source.notices
    assert "3 folders of earlier runs (runs/all, runs/first, seen)" in notice
    # A run writes into its own folder without making an index stale.
    touch(tmp_path, "runs/first/result.json")
    assert source.is_fresh()


@pytest.mark.parametrize(
    "names, found",
    [
        ((), "Found: nothing"),
        (("a.txt", "b.mp4", "c.mp4"), r"Found: 3 other files \(2 .mp4, 1"),
        (("empty/x/.keep",), r"Found: 1 folder without an image \(empty/x\)"),
    ],
)
def test_no_image_at_all(tmp_path, names, found):
    touch(tmp_path, *names)
    with pytest.raises(UserError, match=found) as caught:
        list_folder(str(tmp_path))
    assert f"{tmp_path} holds no image (.jpg, .jpeg" in str(caught.value)


def test_links(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    touch(data, "cat/a.jpg")
    touch(elsewhere, "b.jpg", "c.jpg")
    (data / "cat" / "linked.jpg").symlink_to(elsewhere / "b.jpg")
    (data / "cat" / "broken.jpg").symlink_to(elsewhere / "gone.jpg")
    (data / "cat" / "itself.png").symlink_to("itself.png")
    (data / "cat" / "gone.txt").symlink_to("gone")
    (data / "dog").symlink_to(elsewhere)
    (data / "cat" / "up").symlink_to(data)
    # Reads before 'cat' by name, and is a link to it.
    (data / "alias").symlink_to(data / "cat")
    source = list_folder(str(data))
    assert labelled(source.splits["train"]) == {
        "cat/a.jpg": "cat",
        "cat/broken.jpg": "cat",
        "cat/itself.png": "cat",
        "cat/linked.jpg": "cat",
        "dog/b.jpg": "dog",
        "dog/c.jpg": "dog",
    }
    assert source.bad == {
        "cat/broken.jpg": "is a broken link",
        "cat/itself.png": "is a broken link",
    }
    assert "2 links to folders that are read already" in source.notices[-1]


def test_a_name_that_is_not_utf_8_is_refused(tmp_path):
    touch(tmp_path, "cat/a.jpg")
    path = os.path.join(os.fsencode(tmp_path), b"cat", b"b\xe4.jpg")
    with open(path, "wb"):
        pass
    with pytest.raises(UserError, match=re.escape(r"b'b\xe4.jpg'")):
        list_folder(str(tmp_path))


def test_listing_asks_once_per_folder_and_never_per_file(tmp_path, monkeypatch):
    for name in ("cat", "dog"):
        touch(tmp_path, *(f"{name}/{number}.jpg" for number in range(50)))
    asked = []
    stat = os.stat
    monkeypatch.setattr(
        os, "stat", lambda path: asked.append(path) or stat(path)
    )
    assert len(list_folder(str(tmp_path))) == 100
    assert len(asked) == 3
