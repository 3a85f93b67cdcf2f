"""Labelled subsets: balanced, seeded, nested."""

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.labels import choose_labels, mask_labels
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError


def image_set(counts=(5, 10, 40)) -> ImageSet:
    labels = np.repeat(np.arange(len(counts)), counts).astype("int32")
    count = len(labels)
    return ImageSet(
        name="train",
        pixels=ArrayPixels(np.zeros((count, 4, 4, 3), np.uint8)),
        labels=labels,
        class_names=tuple("abc"[: len(counts)]),
        ids=tuple(f"image{i}" for i in range(count)),
    )


def chosen(**flags) -> set[int]:
    return set(choose_labels(image_set(), DataConfig(**flags)).indices)


def test_per_class_is_balanced():
    subset = choose_labels(image_set(), DataConfig(labels_per_class=4))
    assert np.bincount(subset.labels).tolist() == [4, 4, 4]
    assert subset.smallest_class() == 4
    assert subset.ids == tuple(f"image{i}" for i in subset.indices)


def test_fraction_takes_a_share_and_at_least_one():
    subset = choose_labels(image_set(), DataConfig(label_fraction=0.05))
    assert np.bincount(subset.labels).tolist() == [1, 1, 2]


def test_all_labels_by_default():
    assert len(chosen()) == 55


def test_smaller_subsets_lie_inside_larger_ones():
    assert chosen(label_fraction=0.1) <= chosen(label_fraction=0.5)
    assert chosen(labels_per_class=2) <= chosen(labels_per_class=5)


def test_the_seed_draws():
    assert chosen(labels_per_class=4) == chosen(labels_per_class=4)
    other = chosen(labels_per_class=4, label_seed=1)
    assert chosen(labels_per_class=4) != other


def test_more_than_the_smallest_class_is_refused():
    with pytest.raises(UserError, match="=6 is more than class 'a' has: 5"):
        chosen(labels_per_class=6)


def test_images_without_labels_are_refused():
    images = image_set().with_labels(np.full(55, -1, np.int32))
    with pytest.raises(UserError, match="has no labels"):
        choose_labels(images, DataConfig())


def test_mask_keeps_only_the_subsets_labels():
    images = image_set()
    subset = choose_labels(images, DataConfig(labels_per_class=2))
    masked = mask_labels(images, subset)
    assert np.flatnonzero(masked.labels >= 0).tolist() == list(subset.indices)
    assert len(masked) == len(images)
