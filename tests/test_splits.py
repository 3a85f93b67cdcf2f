"""Parts of splits, and the part that is cut off for evaluation."""

import numpy as np
import pytest

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import FilePixels
from tf_simclr.data.sources.splits import cut_evaluation
from tf_simclr.errors import UserError


def image_set(classes, order=None) -> ImageSet:
    """One image per class number; -1 for one without a label."""
    ids = tuple(f"{label}/{i}.jpg" for i, label in enumerate(classes))
    images = ImageSet(
        name="train",
        pixels=FilePixels("photos", ids),
        labels=np.array(classes, np.int32),
        class_names=("a", "b", "c"),
        ids=ids,
    )
    return images if order is None else images.take(order)


CLASSES = [0] * 20 + [1] * 10 + [2] + [-1] * 9


def test_the_cut_is_a_share_of_each_class():
    splits = cut_evaluation({"train": image_set(CLASSES)}, 0.25, "photos")
    train, cut = splits["train"], splits["validation"]
    assert np.bincount(cut.labels).tolist() == [5, 3]
    assert cut.name == "validation"
    # A class of one image keeps it, and unlabelled images stay.
    assert np.bincount(train.labels + 1).tolist() == [9, 15, 7, 1]
    assert not set(train.ids) & set(cut.ids)
    assert len(train) + len(cut) == len(CLASSES)


def test_the_cut_does_not_depend_on_the_order_of_the_images():
    first = cut_evaluation({"train": image_set(CLASSES)}, 0.25, "photos")
    order = np.random.default_rng(0).permutation(len(CLASSES))
    images = image_set(CLASSES, order)
    other = cut_evaluation({"train": images}, 0.25, "photos")
    assert set(first["validation"].ids) == set(other["validation"].ids)


def test_a_new_image_moves_no_other_across_the_cut():
    before = cut_evaluation({"train": image_set(CLASSES)}, 0.25, "photos")
    images = image_set([*CLASSES, 2, 2])
    after = cut_evaluation({"train": images}, 0.25, "photos")
    kept = {name for name in after["validation"].ids if name[0] != "2"}
    assert kept == set(before["validation"].ids)


def test_a_smaller_cut_lies_inside_a_larger_one():
    cuts = [
        set(
            cut_evaluation({"train": image_set(CLASSES)}, fraction, "x")[
                "validation"
            ].ids
        )
        for fraction in (0.1, 0.5)
    ]
    assert cuts[0] < cuts[1]


@pytest.mark.parametrize(
    "splits, message",
    [
        ({"train": [0, 0], "test": [0]}, "has a split 'test': leave the flag"),
        ({"train": [-1, -1]}, "has no labels: leave the flag out"),
        ({"train": [0, 1, 2]}, "every class of --dataset=photos has only one"),
    ],
)
def test_cuts_that_cannot_be(splits, message):
    found = {name: image_set(classes) for name, classes in splits.items()}
    with pytest.raises(UserError, match=message):
        cut_evaluation(found, 0.2, "photos")
