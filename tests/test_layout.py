"""Folders as people lay them out: which are splits, and which are classes."""

import pytest

from tf_simclr.data.sources.layout import read_layout
from tf_simclr.data.sources.split_names import (
    is_labelled,
    is_unlabelled,
    split_of,
    splits_of,
)
from tf_simclr.errors import UserError


def places(*folders: str, layout: str = "auto") -> dict:
    return read_layout(folders, "DATA", layout).places


@pytest.mark.parametrize(
    "names, split",
    [
        (("train", "Training", "TRAIN_SET", "trainset", "TrainData"), "train"),
        (("seg_train", "train2017", "train-images", "trn"), "train"),
        (("val", "Valid", "dev", "eval", "dev_set", "valset"), "validation"),
        (("evaluation", "val2017", "seg_val"), "validation"),
        (("test", "testing", "Test_Set", "holdout", "hold-out"), "test"),
        (("held_out", "testImages", "seg_test"), "test"),
        (("car", "test_tube", "train_or_test", "pretrain", "latest"), None),
        (("trainer", "tests_of_time", "valley", "devil", "2017", ""), None),
    ],
)
def test_names_of_splits(names, split):
    assert {name: split_of(name) for name in names} == dict.fromkeys(
        names, split
    )


def test_words_that_all_share_say_nothing():
    assert splits_of(["flowers_train", "flowers_test"]) == {
        "flowers_train": "train",
        "flowers_test": "test",
    }
    assert set(splits_of(["dog_train", "cat_train"]).values()) == {None}
    assert set(splits_of(["train", "car", "bus"]).values()) == {"train", None}


@pytest.mark.parametrize(
    "name",
    ["unlabeled", "Unlabelled", "un-labeled", "no_labels", "unlabeled_images"],
)
def test_names_of_what_has_no_label(name):
    assert is_unlabelled(name) and not is_labelled(name)


def test_names_of_what_has_labels():
    assert is_labelled("Labeled") and is_labelled("labelled_images")
    assert not is_labelled("labeled_cats") and not is_unlabelled("unknown")


ANT_BEE = ("ant", "bee")


def below(*tops: str, classes=ANT_BEE) -> list[str]:
    return [f"{top}/{name}" for top in tops for name in classes]


@pytest.mark.parametrize(
    "train, other, split",
    [
        ("training", "testing", "test"),
        ("train", "eval", "validation"),
        ("seg_train/seg_train", "seg_test/seg_test", "test"),
        ("my_train", "my_holdout", "test"),
        ("data/Train", "data/Dev", "validation"),
        ("train/images", "test/images", "test"),
    ],
)
def test_splits_above_classes(train, other, split):
    found = places(*below(train, other))
    assert found == {
        f"{part}/{name}": (name_of, name)
        for part, name_of in ((train, "train"), (other, split))
        for name in ANT_BEE
    }


def test_splits_below_classes():
    folders = [
        f"{name}/{part}" for name in ANT_BEE for part in ("train", "Val")
    ]
    found = read_layout(folders, "DATA")
    assert found.places == {
        "ant/train": ("train", "ant"),
        "ant/Val": ("validation", "ant"),
        "bee/train": ("train", "bee"),
        "bee/Val": ("validation", "bee"),
    }
    assert "below each class are splits" in found.notices[0]


def test_a_level_too_many_is_gone_down():
    found = read_layout(below("photos/of/mine"), "DATA")
    assert found.places["photos/of/mine/ant"] == ("train", "ant")
    assert found.notices == (
        "one level of folders too many: what lies in photos/of/mine is taken",
    )
    # A lone folder of images is a class, unless its name says nothing.
    assert places("ant") == {"ant": ("train", "ant")}
    assert places("images") == {"images": ("train", None)}
    assert places("ant", "ant/young", "") == {
        "": ("train", None),
        "ant": ("train", "ant"),
        "ant/young": ("train", "ant"),
    }
    assert places("train/images", "test/images") == {
        "train/images": ("train", None),
        "test/images": ("test", None),
    }


def test_labelled_beside_unlabelled():
    found = places(*below("Labelled"), "un-labelled/2020")
    assert found == {
        "Labelled/ant": ("train", "ant"),
        "Labelled/bee": ("train", "bee"),
        "un-labelled/2020": ("train", None),
    }
    found = places(
        *below("train/labeled", "test"), "train/unlabeled", "no_label"
    )
    assert found == {
        "train/labeled/ant": ("train", "ant"),
        "train/labeled/bee": ("train", "bee"),
        "train/unlabeled": ("train", None),
        "test/ant": ("test", "ant"),
        "test/bee": ("test", "bee"),
        "no_label": ("train", None),
    }
    found = places(*below("labeled", "test"), "unlabeled")
    assert found["labeled/ant"] == ("train", "ant")
    assert found["test/bee"] == ("test", "bee")


@pytest.mark.parametrize(
    "folders, named",
    [
        (below("train", "val") + ["sample"], ("train, val", "sample")),
        (["train", "car", "bus"], ("train", "car, bus")),
        (["ant/test", "ant/2020", "bee"], ("ant/test", "ant/2020, bee")),
        (
            ["train/train/a", "train/val/a", "test/a"],
            ("train/train, train/val", "train"),
        ),
        (["labeled/ant", "others/b"], ("labeled", "others")),
        (["ant/2020/test", "bee"], ("ant/2020/test",)),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(folders, named):
    with pytest.raises(UserError) as caught:
        read_layout(folders, "DATA")
    message = str(caught.value)
    for names in named:
        assert f"({names}" in message
    assert "--folder_layout=classes" in message


def test_a_layout_that_is_said_is_taken():
    assert places("train", "car", layout="classes") == {
        "train": ("train", "train"),
        "car": ("train", "car"),
    }
    assert places(*below("train", "test"), layout="classes") == {
        **dict.fromkeys(below("train"), ("train", "train")),
        **dict.fromkeys(below("test"), ("train", "test")),
    }
    assert places("train/test", "test/train", layout="splits") == {
        "train/test": ("train", "test"),
        "test/train": ("test", "train"),
    }
    assert places("train/test", "ant/train", layout="classes_splits") == {
        "train/test": ("test", "train"),
        "ant/train": ("train", "ant"),
    }
    for layout in ("splits", "classes_splits"):
        with pytest.raises(UserError, match=f"--folder_layout={layout} needs"):
            places("ant/a", "bee/b", layout=layout)
