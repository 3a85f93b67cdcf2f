"""Gaussian blur."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.views.blur import (
    BLUR_UNIFORMS,
    gaussian_blur,
    random_blur,
)
from tf_simclr.data.views.color import from_planes, to_planes

FIGURES = golden.load("augment.npz")
RNG = np.random.default_rng(0)
PLANES = RNG.random((4, 3, 40, 30), dtype=np.float32)


def blurred(uniforms, probability=0.5) -> np.ndarray:
    uniforms = tf.constant(uniforms, tf.float32)
    assert uniforms.shape[1] == BLUR_UNIFORMS
    return random_blur(tf.constant(PLANES), uniforms, probability).numpy()


@pytest.mark.parametrize(
    "key", [key for key in FIGURES if key.startswith("blur")]
)
def test_blur_equals_the_original(key):
    kernel_size, sigma = key.removeprefix("blur_k").split("_s")
    planes = to_planes(tf.constant(FIGURES["image"][np.newaxis]))
    planes = gaussian_blur(planes, int(kernel_size), float(sigma))
    found = from_planes(planes)[0].numpy()
    assert golden.relative_error(found, FIGURES[key]) < 1e-4


def test_every_image_has_its_own_width():
    sigma = [0.1, 0.7, 1.3, 2.0]
    together = gaussian_blur(tf.constant(PLANES), 7, tf.constant(sigma))
    for index, width in enumerate(sigma):
        alone = gaussian_blur(tf.constant(PLANES[index:][:1]), 7, width)
        assert np.allclose(together[index], alone[0], atol=1e-6)
    assert not np.allclose(together[1], together[2], atol=1e-2)


def test_even_sizes_count_as_the_next_odd_one():
    image = np.zeros((1, 1, 9, 9), np.float32)
    image[0, 0, 4, 4] = 1
    found = gaussian_blur(tf.constant(image), 4, 1.0).numpy()[0, 0]
    assert np.array_equal(np.flatnonzero(found[4]), [2, 3, 4, 5, 6])
    assert np.isclose(found.sum(), 1)
    assert np.array_equal(
        found, gaussian_blur(tf.constant(image), 5, 1.0)[0, 0]
    )


def test_random_blur_covers_a_tenth_of_the_height():
    # u = (chosen, width): sigma = 0.1 + 1.9 u.
    found = blurred([[0.4, 0.0], [0.6, 0.5], [0.1, 0.5], [0.9, 1.0]])
    expected = gaussian_blur(
        tf.constant(PLANES), 4, tf.constant([0.1, 1.05, 1.05, 2.0])
    )
    assert np.allclose(found[[0, 2]], expected.numpy()[[0, 2]], atol=1e-6)
    assert np.array_equal(found[[1, 3]], PLANES[[1, 3]])


def test_small_images_stay_sharp():
    planes = tf.constant(PLANES[:, :, :19])
    found = random_blur(planes, tf.zeros([4, 2]), 1.0)
    assert np.array_equal(found, planes)
    planes = tf.constant(PLANES[:, :, :20])
    found = random_blur(planes, tf.ones([4, 2]) * 0.5, 1.0)
    assert not np.allclose(found, planes, atol=1e-2)
