"""A teacher's view of a crop: its size and its range of values."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.teachers.views import RANGES, resized

IMAGES = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [5, 8, 12, 20, 31])
def test_sizes_are_those_of_tensorflow(size):
    expected = tf.image.resize(IMAGES, (size, size), antialias=True)
    assert np.allclose(resized(tf.constant(IMAGES), size), expected, atol=1e-5)


def test_a_teacher_of_any_size_sees_the_crop():
    images = tf.constant(IMAGES)
    assert resized(images, None) is images


def test_ranges_are_those_of_keras():
    from tf_keras.applications import imagenet_utils

    modes = {"-1_1": "tf", "imagenet": "torch", "caffe": "caffe"}
    for name, mode in modes.items():
        expected = imagenet_utils.preprocess_input(IMAGES * 255.0, mode=mode)
        found = RANGES[name](tf.constant(IMAGES))
        assert np.allclose(found, expected, atol=1e-3), name
    assert np.allclose(RANGES["0_255"](IMAGES), IMAGES * 255)
    assert RANGES["0_1"](IMAGES) is IMAGES
