"""Labelled subsets: balanced, seeded, nested, listed."""

import json

import numpy as np
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.labels import choose_labels, mask_labels
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError


def image_set(counts=(5, 10, 40), unlabelled=3) -> ImageSet:
    labels = np.repeat(np.arange(len(counts)), counts).astype("int32")
    labels = np.append(labels, np.full(unlabelled, -1, np.int32))
    count = len(labels)
    return ImageSet(
        name="train",
        pixels=ArrayPixels(np.zeros((count, 4, 4, 3), np.uint8)),
        labels=labels,
        class_names=tuple("abcdefghijklmnopqr"[: len(counts)]),
        ids=tuple(f"image{i}" for i in range(count)),
    )


def chosen(images: ImageSet | None = None, **flags) -> set[str]:
    return set(choose_labels(images or image_set(), DataConfig(**flags)).ids)


def test_per_class_is_balanced():
    subset = choose_labels(image_set(), DataConfig(labels_per_class=4))
    assert np.bincount(subset.labels).tolist() == [4, 4, 4]
    assert subset.smallest_class() == 4
    assert subset.ids == tuple(f"image{i}" for i in subset.indices)
    assert np.array_equal(subset.labels, image_set().labels[subset.indices])


def test_fraction_takes_a_share_and_at_least_one():
    subset = choose_labels(image_set(), DataConfig(label_fraction=0.05))
    assert np.bincount(subset.labels).tolist() == [1, 1, 2]


def test_all_labels_by_default():
    assert len(chosen()) == 55


def test_smaller_subsets_lie_inside_larger_ones():
    assert chosen(label_fraction=0.01) < chosen(label_fraction=0.1)
    assert chosen(label_fraction=0.1) < chosen(label_fraction=0.5)
    assert chosen(labels_per_class=2) < chosen(labels_per_class=5)


def test_the_seed_draws():
    assert chosen(labels_per_class=4) == chosen(labels_per_class=4)
    other = chosen(labels_per_class=4, label_seed=1)
    assert chosen(labels_per_class=4) != other


def test_the_order_of_the_images_does_not_matter():
    images = image_set()
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = images.take(order)
    for flags in ({"labels_per_class": 4}, {"label_fraction": 0.3}):
        assert chosen(shuffled, **flags) == chosen(**flags)


def test_an_image_that_is_gone_changes_one_label_at_most():
    images = image_set()
    before = chosen(labels_per_class=4)
    gone = sorted(before)[0]
    rest = [i for i, name in enumerate(images.ids) if name != gone]
    after = chosen(images.take(np.array(rest)), labels_per_class=4)
    assert len(before - after) == 1


def test_more_than_the_smallest_class_is_refused():
    with pytest.raises(UserError, match="=6 is more than class 'a' has: 5"):
        chosen(labels_per_class=6)


def test_images_without_labels_are_refused():
    images = image_set((), unlabelled=5)
    with pytest.raises(UserError, match="has no labels"):
        choose_labels(images, DataConfig())


def test_mask_keeps_only_the_subsets_labels():
    images = image_set()
    subset = choose_labels(images, DataConfig(labels_per_class=2))
    masked = mask_labels(images, subset)
    assert np.flatnonzero(masked.labels >= 0).tolist() == list(subset.indices)
    assert len(masked) == len(images)


def test_a_subset_is_read_back_from_another_run(tmp_path):
    drawn = choose_labels(image_set(), DataConfig(labels_per_class=2))
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(drawn.to_json()))
    found = choose_labels(image_set(), DataConfig(label_ids=str(path)))
    assert found.ids == drawn.ids
    assert np.array_equal(found.labels, drawn.labels)
    assert found.digest() == drawn.digest()


def test_a_subset_from_a_text_file(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("image50\n\n image3\nimage50\n")
    subset = choose_labels(image_set(), DataConfig(label_ids=str(path)))
    assert subset.ids == ("image3", "image50")
    assert subset.smallest_class() == 0
    path.write_text("image51\nimage3\n")
    other = choose_labels(image_set(), DataConfig(label_ids=str(path)))
    assert other.digest() != subset.digest()


@pytest.mark.parametrize(
    "name, text, message",
    [
        (
            "ids.txt",
            "image1\ncat.jpg\ndog.jpg\n",
            "dataset=x: cat.jpg, dog.jpg",
        ),
        ("ids.txt", "image1\nimage56\n", "no label in --dataset=x: image56"),
        ("ids.txt", "\n", "holds no ids"),
        ("ids.json", "{}", "holds no ids"),
        ("ids.json", '{"ids": [1]}', "holds no ids"),
        ("ids.json", "[", "holds no ids"),
        (None, None, "there is no file"),
    ],
)
def test_lists_that_do_not_fit_are_named(tmp_path, name, text, message):
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_text(text)
    config = DataConfig(dataset="x", label_ids=str(path))
    with pytest.raises(UserError, match=message):
        choose_labels(image_set(), config)


def test_two_ways_to_choose_are_refused():
    with pytest.raises(UserError, match="per_class=2 and --label_ids=a.txt"):
        DataConfig(labels_per_class=2, label_ids="a.txt")


def test_the_table_counts_each_class():
    images = image_set()
    subset = choose_labels(images, DataConfig(labels_per_class=2))
    rows = [line.split() for line in subset.table(images).splitlines()]
    assert rows == [
        ["class", "images", "labelled"],
        ["a", "5", "2"],
        ["b", "10", "2"],
        ["c", "40", "2"],
        ["unlabelled", "3", "0"],
    ]


def test_a_long_table_is_cut():
    images = image_set((2,) * 18, unlabelled=0)
    subset = choose_labels(images, DataConfig(labels_per_class=1))
    lines = subset.table(images).splitlines()
    assert len(lines) == 14
    assert lines[-1].split() == ["6", "more", "12", "6"]
