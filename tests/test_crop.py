"""Boxes: distributed like TensorFlow's, and central ones like the original."""

import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.data.augment.crop import (
    center_crop_boxes,
    crop_uniform_count,
    random_crop_boxes,
)

DRAWS = 40_000
REFERENCE_DRAWS = 10_000


def random_boxes(height, width, min_area, aspect) -> np.ndarray:
    rng = np.random.default_rng(0)
    count = crop_uniform_count(min_area)
    uniforms = rng.random((DRAWS, count), dtype=np.float32)
    boxes = random_crop_boxes(
        tf.constant(uniforms),
        tf.fill([DRAWS], height),
        tf.fill([DRAWS], width),
        min_area,
        aspect,
    )
    assert boxes.dtype == tf.float32
    return boxes.numpy()


@tf.function
def reference_boxes(height, width, min_area, aspect) -> tf.Tensor:
    """Boxes of the original release, one image at a time."""

    def one(seed):
        begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
            [height, width, 3],
            tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            seed=tf.stack([seed, 0]),
            min_object_covered=0.1,
            aspect_ratio_range=(3 / 4 * aspect, 4 / 3 * aspect),
            area_range=(min_area, 1.0),
            max_attempts=100,
        )
        return tf.concat([begin[:2], size[:2]], axis=0)

    return tf.map_fn(one, tf.range(REFERENCE_DRAWS), parallel_iterations=64)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference between two distribution functions."""
    places = np.arange(max(first.max(), second.max()) + 1)
    shares = [
        np.searchsorted(np.sort(values), places, side="right") / len(values)
        for values in (first, second)
    ]
    return float(np.max(np.abs(shares[0] - shares[1])))


@pytest.mark.parametrize(
    "setting",
    [
        (48, 64, 0.08, 1.0),
        (40, 40, 0.08, 1.0),
        (30, 90, 0.08, 1.0),
        (50, 40, 0.3, 2.0),
        (64, 48, 0.9, 1.0),
        (30, 90, 0.9, 3.0),
    ],
    ids=str,
)
def test_boxes_are_distributed_like_tensorflows(setting):
    height, width, _, _ = setting
    found = random_boxes(*setting)
    expected = reference_boxes(*setting).numpy()
    # The 0.1 % point of the two-sample Kolmogorov-Smirnov test.
    limit = 1.95 * np.sqrt(1 / DRAWS + 1 / REFERENCE_DRAWS)
    for name, measure in {
        "y": lambda box: box[:, 0],
        "x": lambda box: box[:, 1],
        "height": lambda box: box[:, 2],
        "width": lambda box: box[:, 3],
        "area": lambda box: box[:, 2] * box[:, 3],
        "below": lambda box: height - box[:, 0] - box[:, 2],
        "right": lambda box: width - box[:, 1] - box[:, 3],
    }.items():
        assert distance(measure(found), measure(expected)) < limit, name


@pytest.mark.parametrize("shape", [(1, 1), (5, 200), (31, 32), (500, 375)])
def test_boxes_lie_inside_the_image(shape):
    y, x, height, width = random_boxes(*shape, 0.08, 1.0).T
    for values in (y, x, height, width):
        assert np.array_equal(values, np.round(values))
    assert min(y.min(), x.min()) >= 0
    assert min(height.min(), width.min()) >= 1
    assert (y + height).max() <= shape[0]
    assert (x + width).max() <= shape[1]


def test_the_whole_image_where_nothing_fits():
    # 1 x 100 pixels: no crop of aspect ratio 1 covers a tenth.
    boxes = random_boxes(1, 100, 0.08, 1.0)
    assert np.all(boxes == [0, 0, 1, 100])


@pytest.mark.parametrize(
    ("size", "target", "box"),
    [
        ((48, 64), (32, 32), (3, 11, 42, 42)),
        ((48, 64), (24, 40), (7, 4, 34, 56)),
        ((256, 256), (224, 224), (16, 16, 224, 224)),
        ((375, 500), (224, 224), (24, 86, 328, 328)),
    ],
)
def test_center_boxes(size, target, box):
    boxes = center_crop_boxes(
        tf.constant([size[0]] * 2), tf.constant([size[1]] * 2), *target
    )
    assert boxes.numpy().tolist() == [list(box)] * 2
