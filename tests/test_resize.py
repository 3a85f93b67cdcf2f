"""Batched crop-and-resize against TensorFlow's bicubic kernel."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.views.color import from_planes, to_planes
from tf_simclr.data.views.crop import center_crop_boxes
from tf_simclr.data.views.resize import (
    crop_and_resize,
    crop_and_resize_planes,
)

FIGURES = golden.load("augment.npz")
RNG = np.random.default_rng(0)


def random_images(count, height, width) -> np.ndarray:
    return RNG.random((count, height, width, 3), dtype=np.float32)


def some_boxes(count, height, width) -> np.ndarray:
    """Boxes of all sizes and places, corners and single pixels included."""
    sizes = RNG.integers(1, (height + 1, width + 1), (count, 2))
    sizes[0], sizes[1] = (1, 1), (height, width)
    places = RNG.integers(0, (height, width) - sizes + 1)
    places[2], places[3] = 0, (height, width) - sizes[3]
    return np.concatenate([places, sizes], axis=1).astype("float32")


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((48, 64), (32, 32)),
        ((64, 48), (32, 40)),
        ((40, 40), (32, 32)),
        ((21, 33), (64, 50)),
    ],
)
def test_equals_tensorflows_kernel(shape, target):
    images, boxes = random_images(60, *shape), some_boxes(60, *shape)
    found = crop_and_resize(tf.constant(images), boxes, *target).numpy()
    for image, (y, x, height, width), result in zip(
        images, boxes.astype(int), found, strict=True
    ):
        crop = image[y : y + height, x : x + width]
        expected = tf.image.resize(crop, target, "bicubic").numpy()
        assert np.max(np.abs(result - expected)) < 1e-5


@pytest.mark.parametrize("target", [(32, 32), (24, 40), (224, 224)])
def test_central_crop_equals_the_original(target):
    boxes = center_crop_boxes(tf.constant([48]), tf.constant([64]), *target)
    image = tf.constant(FIGURES["image"][np.newaxis])
    found = crop_and_resize(image, boxes, *target)[0].numpy()
    if target == (224, 224):
        found = found[::8, ::8]
    expected = FIGURES[f"center_crop_{target[0]}x{target[1]}"]
    assert golden.relative_error(found, expected) < 1e-4


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_same_size_changes_nothing(dtype):
    images = (255 * random_images(3, 20, 30)).astype(dtype)
    if dtype == "float32":
        images /= 255
    boxes = np.array([[0, 0, 20, 30]] * 3, "float32")
    found = crop_and_resize(tf.constant(images), boxes, 20, 30)
    expected = tf.image.convert_image_dtype(images, tf.float32)
    assert np.array_equal(found, expected)


def test_mirrored_is_the_result_flipped():
    planes = to_planes(tf.constant(random_images(4, 20, 30)))
    boxes = some_boxes(4, 20, 30)
    plain = crop_and_resize_planes(planes, boxes, 12, 16).numpy()
    chosen = np.array([True, False, False, True])
    flipped = crop_and_resize_planes(planes, boxes, 12, 16, chosen).numpy()
    assert np.allclose(flipped[chosen], plain[chosen][..., ::-1], atol=1e-6)
    assert np.allclose(flipped[~chosen], plain[~chosen], atol=1e-6)


def test_shapes_need_not_be_known():
    images, boxes = random_images(5, 20, 30), some_boxes(5, 20, 30)
    unknown = tf.function(
        lambda images, boxes: crop_and_resize(images, boxes, 12, 16),
        input_signature=[
            tf.TensorSpec([None, None, None, 3], tf.float32),
            tf.TensorSpec([None, 4], tf.float32),
        ],
    )
    found = unknown(images, boxes)
    expected = crop_and_resize(tf.constant(images), boxes, 12, 16)
    assert np.allclose(found, expected, atol=1e-6)


def test_planes_and_back():
    images = RNG.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    planes = to_planes(tf.constant(images))
    assert planes.dtype == tf.float32
    assert np.allclose(planes[1, 2], images[1, :, :, 2] / 255)
    assert np.allclose(from_planes(planes), images / 255)
