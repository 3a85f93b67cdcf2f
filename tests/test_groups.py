"""Groups of images: named by folder, column or pattern, and refused."""

import pathlib

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.labels import choose_labels
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.errors import UserError


def opened(dataset, group_by: str, **flags):
    config = DataConfig(
        dataset=str(dataset), group_by=group_by, scan_images=False, **flags
    )
    return open_dataset(config)


def touch(root: pathlib.Path, *names: str) -> pathlib.Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def groups_of(images: ImageSet) -> dict[str, str]:
    return dict(zip(images.ids, images.groups, strict=True))


def test_folders_below_the_classes(tmp_path):
    touch(
        tmp_path,
        *("train/cat/p1/a.jpg", "train/cat/p1/b.jpg", "train/dog/p1/c.jpg"),
        *("train/dog/p2/left/d.jpg", "train/cat/loose.jpg"),
        *("train/unlabeled/p2/left/e.jpg", "test/cat/p2/left/f.jpg"),
    )
    splits = opened(tmp_path, "folder")
    assert groups_of(splits.train) == {
        "train/cat/p1/a.jpg": "p1",
        "train/cat/p1/b.jpg": "p1",
        # One patient, two diagnoses.
        "train/dog/p1/c.jpg": "p1",
        "train/dog/p2/left/d.jpg": "p2/left",
        "train/cat/loose.jpg": "train/cat/loose.jpg",
        "train/unlabeled/p2/left/e.jpg": "p2/left",
    }
    assert (
        "6 images in 2 groups by folder, and 1 images that are groups of their"
        " own" in splits.notices
    )
    assert (
        "1 group is in both train and test: 'p2/left'; the score is not of"
        " unseen groups" in splits.notices
    )


def test_folders_below_splits_below_classes(tmp_path):
    touch(
        tmp_path,
        *("cat/train/p1/a.jpg", "cat/test/p2/b.jpg"),
        *("dog/train/p3/c.jpg", "dog/test/p1/d.jpg"),
    )
    splits = opened(tmp_path, "folder")
    assert splits.train.groups == ("p1", "p3")
    assert splits.evaluation.groups == ("p2", "p1")


def test_a_column_of_a_table(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(
        "path,label,Patient\n"
        + "".join(f"{i}.jpg,{'ab'[i % 2]},p{i // 4}\n" for i in range(40))
        + "x.jpg,a,\n"
    )
    splits = opened(path, "column:patient", eval_fraction=0.3)
    trained, scored = set(splits.train.groups), set(splits.evaluation.groups)
    assert not trained & scored
    assert len(splits.evaluation) == 12
    assert groups_of(splits.train)["x.jpg"] == "x.jpg"
    text = (
        "--eval_fraction=0.3 cut off 3 of 11 groups, 12 of 41 labelled images"
    )
    assert text in splits.notices
    # Images alone are cut through the patients.
    splits = opened(path, "none", eval_fraction=0.3)
    assert splits.train.groups is None
    patients = [
        {int(name[:-4]) // 4 for name in images.ids if name != "x.jpg"}
        for images in (splits.train, splits.evaluation)
    ]
    assert patients[0] & patients[1]


def test_a_pattern_in_ids(tmp_path):
    touch(tmp_path, *(f"c/v{i // 5}_{i}.jpg" for i in range(20)), "c/other.jpg")
    images = opened(tmp_path, r"regex:(v\d+)_").train
    assert images.groups[:3] == ("c/other.jpg", "v0", "v0")
    assert len(set(images.groups)) == 5
    # Without parentheses, the whole of what is found.
    images = opened(tmp_path, r"regex:v\d+_").train
    assert images.groups[1] == "v0_"


def test_images_that_join_are_groups_of_their_own(tmp_path):
    touch(tmp_path, *(f"one/c/v{i}/{j}.jpg" for i in (0, 1) for j in (0, 1)))
    touch(tmp_path, "two/v0/a.jpg")
    images = opened(
        tmp_path / "one",
        "regex:(v[01])/",
        unlabeled_dataset=str(tmp_path / "two"),
    ).train
    assert images.groups[-1] == "unlabeled_dataset/v0/a.jpg"
    assert len(images.groups) == 5


def test_slices_that_share_a_group(tmp_path):
    touch(tmp_path, *(f"c/v{i // 4}/{i:02}.jpg" for i in range(16)))
    splits = opened(
        tmp_path,
        "folder",
        train_split="train[:10]",
        eval_split="train[10:]",
        folder_layout="classes",
    )
    assert splits.notices[-1].startswith("1 group is in both train and train:")


def test_labels_are_drawn_from_as_many_groups_as_there_are():
    ids = tuple(f"{i}.jpg" for i in range(60))
    images = ImageSet(
        "train",
        FilePixels("x", ids),
        np.repeat([0, 1], 30).astype(np.int32),
        ("a", "b"),
        ids,
        groups=tuple(f"g{i // 6}" for i in range(60)),
    )
    chosen = {}
    for count in (3, 5, 7):
        subset = choose_labels(images, DataConfig(labels_per_class=count))
        chosen[count] = set(subset.ids)
        for label in (0, 1):
            places = subset.indices[subset.labels == label]
            found = [images.groups[place] for place in places]
            assert len(found) == count
            # Five groups of a class.
            assert len(set(found)) == min(count, 5)
    assert chosen[3] < chosen[5] < chosen[7]
    # In any order of the images.
    order = np.random.default_rng(0).permutation(60)
    subset = choose_labels(images.take(order), DataConfig(labels_per_class=7))
    assert set(subset.ids) == chosen[7]
    other = choose_labels(images, DataConfig(labels_per_class=3, label_seed=1))
    assert set(other.ids) != chosen[3]


@pytest.mark.parametrize(
    "names, group_by, message",
    [
        (["a/1.jpg", "b/2.jpg"], "folder", "none: name groups with"),
        (["a/x/1.jpg", "b/x/2.jpg"], "folder", "one group of each class"),
        (["a/1.jpg", "b/2.jpg"], "regex:(z)", "matches no image .*a/1.jpg"),
        (["a/1.jpg"], "column:p", "needs a table of images"),
    ],
)
def test_rules_that_name_nothing_are_refused(
    tmp_path, names, group_by, message
):
    with pytest.raises(UserError, match=message):
        opened(touch(tmp_path, *names), group_by)


@pytest.mark.parametrize(
    "text, message",
    [
        ("path,label,a\n1.jpg,x,\n", "column 'p' of|has no column 'p'"),
        ("1.jpg,x,train\n", "has no column 'p', .* it has no header"),
        ("path,label,p\n1.jpg,x,\n", "column 'p' .*, is empty"),
    ],
)
def test_columns_that_are_not_there(tmp_path, text, message):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        opened(tmp_path / "list.csv", "column:p")


@pytest.mark.parametrize("group_by", ["folder", "regex:(1)", "column:x"])
def test_arrays_have_no_groups(group_by):
    with pytest.raises(UserError, match="--group_by=.*digits"):
        opened("digits", group_by, image_size=8)
