"""The evaluation part in whole groups."""

import numpy as np
import pytest

from tf_simclr.data.sources.group_cut import cut_groups
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.splits import cut_evaluation, cut_notice
from tf_simclr.errors import UserError


def cut(groups, labels, fraction=0.2) -> np.ndarray:
    return cut_groups(groups, np.array(labels, np.int32), fraction, "salt")


def of_groups(sizes) -> tuple[list[str], list[int]]:
    """Groups of these sizes, whose classes take turns, and their labels."""
    groups, labels = [], []
    for number, size in enumerate(sizes):
        groups += [f"g{number}"] * size
        labels += [number % 2] * size
    return groups, labels


def test_groups_stay_whole_and_meet_the_share():
    groups, labels = of_groups(np.random.default_rng(0).integers(1, 9, 200))
    found = cut(groups, labels)
    chosen = {g for g, c in zip(groups, found, strict=True) if c}
    left = {g for g, c in zip(groups, found, strict=True) if not c}
    assert not chosen & left
    for label in (0, 1):
        members = np.array(labels) == label
        # Within half of the largest group.
        assert abs(found[members].sum() - 0.2 * members.sum()) <= 4


def test_groups_of_one_image_are_cut_as_images():
    ids = tuple(f"{i % 3}/{i}.jpg" for i in range(60))
    labels = np.arange(60, dtype=np.int32) % 3
    images = ImageSet(
        "train", FilePixels("x", ids), labels, ("a", "b", "c"), ids
    )
    grouped = ImageSet(
        "train", FilePixels("x", ids), labels, ("a", "b", "c"), ids, groups=ids
    )
    first, second = (
        cut_evaluation({"train": found}, 0.25, "x")["validation"].ids
        for found in (images, grouped)
    )
    assert first == second


def test_the_choice_depends_on_names_alone():
    groups, labels = of_groups([5] * 40)
    before = cut(groups, labels)
    order = np.random.default_rng(1).permutation(len(groups))
    after = cut([groups[i] for i in order], np.array(labels)[order])
    assert np.array_equal(after, before[order])
    # A new group moves at most itself or one other.
    more = cut([*groups, *["new"] * 5], [*labels, *[0] * 5])
    moved = {g for g, c, d in zip(groups, before, more, strict=False) if c != d}
    assert len(moved) <= 1


def test_images_without_a_label_go_with_their_group():
    groups = ["a", "a", "b", "b", "c", "c", "d"]
    labels = [0, -1, 0, -1, 1, 1, 1]
    found = cut(groups, labels, 0.5)
    assert found[0] == found[1] and found[2] == found[3]
    assert found[:4].sum() == 2 and found[4:].sum() in (1, 2)


def test_a_group_of_several_classes_leaves_a_group_of_each():
    groups = ["a"] * 4 + ["b"] * 4 + ["c"] * 2
    labels = [0, 0, 1, 1] * 2 + [0, 0]
    found = cut(groups, labels, 0.9)
    assert not found.all()
    for label in (0, 1):
        assert not found[np.array(labels) == label].all()


def test_every_class_keeps_a_group():
    found = cut(["a"] * 5 + ["b"] * 6, [0] * 11, 0.9)
    assert found.sum() in (5, 6)


def test_two_large_groups_give_one():
    assert cut(["a"] * 10 + ["b"] * 10, [0] * 20, 0.1).sum() == 10


def test_classes_of_one_group_cannot_be_cut():
    groups, ids = ("a",) * 3 + ("b",) * 3, tuple("123456")
    images = ImageSet(
        "train",
        FilePixels("x", ids),
        np.array([0, 0, 0, 1, 1, 1], np.int32),
        ("p", "q"),
        ids,
        groups=groups,
    )
    with pytest.raises(UserError, match="x has only one group of images"):
        cut_evaluation({"train": images}, 0.2, "x")


def test_the_notice_counts_groups_and_labelled_images():
    groups, labels = of_groups([5] * 20)
    ids = tuple(map(str, range(100)))
    images = ImageSet(
        "train",
        FilePixels("x", ids),
        np.array(labels, np.int32),
        ("p", "q"),
        ids,
        groups=tuple(groups),
    )
    splits = cut_evaluation({"train": images}, 0.2, "x")
    assert cut_notice(splits, 0.2) == (
        "--eval_fraction=0.2 cut off 4 of 20 groups, 20 of 100 labelled images"
    )
