"""Color distortion against TensorFlow's operations and the original."""

import itertools

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.views import color
from tf_simclr.data.views.color import from_planes, to_planes

FIGURES = golden.load("augment.npz")
RNG = np.random.default_rng(0)

# Runs by the operation's name, as (ours, TensorFlow's, factors).
OPERATIONS = {
    "brightness": (
        color.adjust_brightness,
        lambda image, factor: image * factor,
        (0.0, 0.4, 1.0, 1.8),
    ),
    "shift": (
        color.shift_brightness,
        tf.image.adjust_brightness,
        (-0.8, 0.0, 0.3),
    ),
    "contrast": (
        color.adjust_contrast,
        tf.image.adjust_contrast,
        (0.0, 0.2, 1.0, 1.8),
    ),
    "saturation": (
        color.adjust_saturation,
        tf.image.adjust_saturation,
        (0.0, 0.2, 0.7, 1.0, 1.8),
    ),
    "hue": (
        color.adjust_hue,
        tf.image.adjust_hue,
        (-0.5, -0.2, 0.0, 0.05, 0.2, 0.5, 1.0),
    ),
}


def hard_image() -> np.ndarray:
    """Noise, and rows of what divides by zero or ties between channels."""
    image = RNG.random((16, 64, 3), dtype=np.float32)
    image[0] = 0
    image[1] = 1
    image[2] = image[2, :, :1]  # grays
    image[3:7] = np.round(2 * image[3:7]) / 2  # ties
    image[7] *= 1e-4  # nearly black
    image[8] = image[8, :, :1] * 0.9 + image[8] * 1e-5  # nearly gray
    return image


def batch_of(image: np.ndarray, count: int) -> tf.Tensor:
    return to_planes(tf.constant(np.stack([image] * count)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_tensorflows(name):
    ours, tensorflows, factors = OPERATIONS[name]
    image = hard_image()
    planes = ours(batch_of(image, len(factors)), tf.constant(factors))
    found = from_planes(planes).numpy()
    for result, factor in zip(found, factors, strict=True):
        expected = np.array(tensorflows(image, factor))
        assert np.max(np.abs(result - expected)) < 1e-5, factor


@pytest.mark.parametrize(
    "key",
    [key for key in FIGURES if key.startswith(("contrast", "satur", "hue"))],
)
def test_operations_equal_the_original(key):
    name, factor = key.split("_")
    factor = tf.constant([float(factor)])
    planes = OPERATIONS[name][0](batch_of(FIGURES["image"], 1), factor)
    found = np.clip(from_planes(planes)[0], 0, 1)
    assert golden.relative_error(found, FIGURES[key]) < 1e-4


def test_grayscale_equals_the_original():
    planes = color.grayscale(batch_of(FIGURES["image"], 1))
    found = from_planes(planes)[0].numpy()
    assert golden.relative_error(found, FIGURES["grayscale"]) < 1e-4


@pytest.mark.parametrize("mode", ["multiplicative", "additive"])
def test_jitter_runs_every_order_on_its_images(mode):
    strength = 0.7
    orders = list(itertools.permutations(range(4)))
    uniforms = RNG.random((48, color.JITTER_UNIFORMS), dtype=np.float32)
    uniforms[:24, 0] = 0.1  # jittered
    uniforms[24:, 0] = 0.9  # not
    uniforms[:24, 1] = (np.arange(24) + 0.5) / 24
    # A crop's bicubic overshoot reaches jitter unclipped.
    images = RNG.random((48, 6, 5, 3), dtype=np.float32) * 1.2 - 0.1
    planes = color.color_jitter(
        to_planes(tf.constant(images)),
        tf.constant(uniforms),
        strength,
        0.8,
        mode,
    )
    found = from_planes(planes).numpy()
    assert np.array_equal(found[24:], images[24:])

    def between(low, high, share):
        return np.float32(low + (high - low) * share)

    bright = "shift" if mode == "additive" else "brightness"
    operations = [
        OPERATIONS[name][1]
        for name in (bright, "contrast", "saturation", "hue")
    ]
    limits = [(0.44, 1.56), (0.44, 1.56), (0.44, 1.56), (-0.14, 0.14)]
    if mode == "additive":
        limits[0] = (-0.56, 0.56)
    for index, order in enumerate(orders):
        expected = images[index]
        for number in order:
            factor = between(*limits[number], uniforms[index, 2 + number])
            expected = operations[number](expected, factor)
            expected = np.clip(expected, 0, 1)
        assert np.max(np.abs(found[index] - expected)) < 1e-5, order


def test_factors_are_never_negative():
    # Contrast is first and lowest: a factor of 0, not of 1 - 0.8 * 2.
    first_order_with_contrast_first = 6.5 / 24
    uniforms = [[0.0, first_order_with_contrast_first, 0.5, 0.0, 0.5, 0.5]]
    found = color.color_jitter(
        batch_of(hard_image(), 1), tf.constant(uniforms), 2.0, 0.5, "additive"
    )
    assert np.all(np.ptp(found, axis=(2, 3)) < 1e-6)


def test_grayscale_takes_its_share():
    images = tf.constant(RNG.random((4, 6, 5, 3), dtype=np.float32))
    uniforms = tf.constant([[0.1], [0.3], [0.19], [0.9]])
    planes = color.random_grayscale(to_planes(images), uniforms, 0.2)
    found = from_planes(planes).numpy()
    expected = images.numpy()
    for index in (0, 2):
        expected[index] = tf.image.rgb_to_grayscale(images[index])
    assert np.max(np.abs(found - expected)) < 1e-6
