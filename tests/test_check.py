"""One look at the splits of every source."""

import numpy as np
import pytest

from tf_simclr.data.sources.check import (
    check_classes,
    check_pixels,
    look_alikes,
    with_unlabelled_parts,
    without_lost_classes,
)
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError

NAMES = ("ant", "bee", "cow")


def images(split: str, labels, names=NAMES, value=200, size=8) -> ImageSet:
    labels = np.array(labels, np.int32)
    array = np.full((len(labels), size, size, 3), value, np.uint8)
    ids = tuple(f"{split}/{index}" for index in range(len(labels)))
    return ImageSet(split, ArrayPixels(array), labels, names, ids)


def splits(**labels) -> dict[str, ImageSet]:
    return {split: images(split, found) for split, found in labels.items()}


def test_classes_that_only_the_test_part_has_are_refused():
    with pytest.raises(UserError, match="'test' of DATA has the class 'cow',"):
        check_classes(splits(train=[0, 1], test=[0, 2]), "DATA")
    with pytest.raises(UserError, match="has the classes 'bee', 'cow', which"):
        check_classes(splits(train=[0], test=[1, 2]), "DATA")
    # A part without labels need not name the classes.
    bare = {**splits(train=[0, 1]), "test": images("test", [-1], ())}
    assert len(check_classes(bare, "DATA")) == 1
    # Without labels to train on, nothing is wrong.
    assert check_classes(splits(train=[-1], test=[1, 2]), "DATA") == []
    assert check_classes(splits(test=[1, 2]), "DATA") == []


def test_what_is_odd_about_classes_is_said():
    assert check_classes(splits(train=[0, 1, 2]), "DATA") == []
    (notice,) = check_classes(splits(train=[1, 1]), "DATA")
    assert notice == "2 of the 3 classes have no training image: ant, cow"
    one = {"train": images("train", [0], ("ant",))}
    assert check_classes(one, "DATA") == ["there is only one class, 'ant'"]
    alike = {"train": images("train", [0, 1], ("Ant", "ant "))}
    (notice,) = check_classes(alike, "DATA")
    assert notice.endswith("look alike count as different: 'Ant' and 'ant '")


def test_names_that_look_alike():
    names = ("Ant", "red_ant", "red ant", "bee", "ANT", "caf\u00e9")
    assert look_alikes(names) == [["Ant", "ANT"], ["red_ant", "red ant"]]


@pytest.mark.parametrize("value, dark", [(0, True), (1, True), (40, False)])
def test_images_that_are_nearly_black_are_told(value, dark):
    found = {"train": images("train", [0], value=value)}
    notices = check_pixels(found)
    assert len(notices) == dark
    assert not dark or f"above {value}, of 255" in notices[0]


def test_classes_are_those_of_the_images_that_are_left():
    before = splits(train=[0, 1, 2, -1], test=[0, 1])
    after = {
        "train": before["train"].take(np.array([0, 2, 3])),
        "test": before["test"].take(np.array([0])),
    }
    left, notices = without_lost_classes(before, after)
    assert left["train"].class_names == ("ant", "cow")
    assert left["train"].labels.tolist() == [0, 1, -1]
    assert left["test"].labels.tolist() == [0]
    assert notices == ["classes without an image that can be read: bee"]
    # A class that never had an image is no loss.
    same, notices = without_lost_classes(after, after)
    assert same["train"].class_names == NAMES and not notices


def test_an_unlabelled_test_part_joins_the_training_images():
    found = splits(train=[0, 1, 2], validation=[0, 1], test=[-1, -1])
    joined, notices, names = with_unlabelled_parts(found)
    assert names == ["test"]
    assert joined["train"].labels.tolist() == [0, 1, 2, -1, -1]
    assert joined["train"].ids[3:] == ("test/0", "test/1")
    assert notices == [
        "the split 'test' has no labels: its 2 images count as unlabelled"
        " training images"
    ]
    for unchanged in (
        splits(train=[-1, -1], test=[-1]),
        splits(train=[0], test=[0]),
        {**splits(train=[0]), "test": images("test", [-1], size=4)},
    ):
        assert with_unlabelled_parts(unchanged) == (unchanged, [], [])
