"""Images of a split that are scored."""

import numpy as np
import pytest

from tf_simclr.config.data import DataConfig
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.evaluation.sample import evaluation_sample, labelled_sample

CLASSES = ("ant", "bee", "cat")


def sorted_by_class(count: int = 90, names=CLASSES) -> ImageSet:
    labels = np.sort(np.arange(count) % len(names)).astype(np.int32)
    pixels = ArrayPixels(np.zeros([count, 2, 2, 3], np.uint8))
    ids = tuple(f"{names[label]}/{i}.png" for i, label in enumerate(labels))
    return ImageSet("test", pixels, labels, tuple(names), ids)


def sample_of(images: ImageSet, steps: int = 3, batch: int = 10, **flags):
    return evaluation_sample(
        images, DataConfig(eval_steps=steps, eval_batch_size=batch, **flags)
    )


def test_it_comes_from_all_over_data_sorted_by_class():
    sample = sample_of(sorted_by_class())
    counts = np.bincount(sample.images.labels, minlength=3)
    assert counts.sum() == 30 and counts.min() >= 5
    assert sample.text == "30 of 90"
    # In the order of the data.
    assert np.all(np.diff(sample.images.labels) >= 0)


def test_it_depends_on_ids_alone():
    images = sorted_by_class()
    order = np.random.default_rng(0).permutation(len(images))
    first, other = sample_of(images), sample_of(images.take(order))
    assert set(first.images.ids) == set(other.images.ids)
    assert first.identity == other.identity
    # A larger sample holds the smaller one.
    assert set(first.images.ids) < set(sample_of(images, 4).images.ids)


def test_all_images_without_a_limit_and_below_it():
    images = sorted_by_class()
    for steps in (0, 9, 20):
        sample = sample_of(images, steps)
        assert sample.images is images and sample.text == "90"


@pytest.mark.parametrize("steps, text", [(0, "8 of 90"), (1, "5 of 90")])
def test_images_without_a_label_are_not_scored(steps, text):
    images = sorted_by_class()
    labels = np.full(90, -1, np.int32)
    labels[40:48] = images.labels[40:48]
    sample = sample_of(images.with_labels(labels), steps, batch=5)
    assert sample.text == text
    assert np.all(sample.images.labels >= 0)
    assert set(sample.images.ids) <= set(images.ids[40:48])


def test_the_identity_is_that_of_ids_and_classes():
    images = sorted_by_class()
    same = sample_of(images, 0).identity
    assert same["images"] == 90
    others = [
        sample_of(images, 3),
        sample_of(images.with_labels(np.roll(images.labels, 1)), 0),
        sample_of(images.renamed("val").take(np.arange(89)), 0),
    ]
    digests = {sample.identity["digest"] for sample in others}
    assert len(digests | {same["digest"]}) == 4
    # Classes are known by their names, not by their numbers.
    turned = ImageSet(
        images.name,
        images.pixels,
        2 - images.labels,
        CLASSES[::-1],
        images.ids,
    )
    assert sample_of(turned, 0).identity == same


def test_a_sample_of_nothing_is_empty():
    images = sorted_by_class()
    none = images.with_labels(np.full(90, -1, np.int32))
    assert len(labelled_sample(none, 5)) == 0
