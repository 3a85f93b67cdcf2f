"""The evaluation view by matrices: what TensorFlow's own resizing gives."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.augment.framing import Framing
from tf_simclr.data.augment.policy import evaluation_image
from tf_simclr.weights.export.portable_view import portable_view

# Smaller, larger, wide, high, of one row; 1:1 and whole multiples among them.
SHAPES = [(9, 14), (64, 48), (48, 48), (96, 96), (31, 200), (301, 47), (1, 5)]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("crop", ["center", "whole", "pad"])
@pytest.mark.parametrize("size", [32, 48])
def test_it_is_the_view_of_evaluation(size, crop, antialias):
    random = np.random.default_rng(0)
    framing = Framing(crop, antialias)
    for height, width in [*SHAPES, (size, size), (size, size + 1)]:
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        expected = evaluation_image(tf.constant(pixels), size, framing)
        found = portable_view(tf.constant(pixels[np.newaxis]), size, framing)
        assert found.shape == (1, size, size, 3)
        np.testing.assert_allclose(
            found[0], expected, atol=2e-5, err_msg=f"{height}x{width}"
        )


def test_images_of_a_batch_do_not_mix():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3, 50, 70, 3), np.uint8)
    framing = Framing("pad", True)
    found = portable_view(tf.constant(pixels), 40, framing)
    for one, view in zip(pixels, found, strict=True):
        alone = portable_view(tf.constant(one[np.newaxis]), 40, framing)
        np.testing.assert_allclose(view, alone[0], atol=1e-6)


def test_no_images_are_no_views():
    pixels = tf.zeros([0, 50, 70, 3], tf.uint8)
    view = portable_view(pixels, 40, Framing())
    assert view.shape == (0, 40, 40, 3)
