"""Whole views: the original's statistics, and what they must not depend on."""

import golden_figures as golden
import numpy as np
import pytest
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.views import make as drawing
from tf_simclr.data.views.keys import Stream, uniforms, view_keys
from tf_simclr.data.views.policy import (
    evaluation_view,
    training_view,
    two_views,
)

FIGURES = golden.load("augment.npz")
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 40, 48, 3), dtype=np.uint8)
IDS = np.arange(6)
EPOCHS = np.full(6, 3)
OFF = AugmentConfig(
    crop_min_area=1.0,
    flip_probability=0.0,
    color_jitter_strength=0.0,
    use_blur=False,
)
EVERYTHING = AugmentConfig(
    rotate_degrees=20.0, shear_degrees=10.0, translate_fraction=0.1
)


def views(
    images=IMAGES, epochs=EPOCHS, ids=IDS, seed=0, config=EVERYTHING, size=32
):
    tensors = two_views(
        tf.constant(images),
        tf.constant(epochs, tf.int64),
        tf.constant(ids, tf.int64),
        seed,
        config,
        size,
    )
    return [tensor.numpy() for tensor in tensors]


def draws(strength: float) -> dict[str, np.ndarray]:
    """Figures of 20,000 views of the golden photograph, 32x32, no blur."""
    config = AugmentConfig(color_jitter_strength=strength, use_blur=False)
    images = tf.constant(np.stack([FIGURES["image"]] * 1000))

    @tf.function
    def measure(ids):
        keys = view_keys(0, tf.zeros_like(ids), ids, 0)
        view = training_view(images, keys, config, 32)
        chroma = tf.reduce_max(view, axis=3) - tf.reduce_min(view, axis=3)
        clipped = tf.cast((view <= 0) | (view >= 1), tf.float32)
        return {
            "means": tf.reduce_mean(view, axis=(1, 2)),
            "stds": tf.math.reduce_std(view, axis=(1, 2)),
            "chroma": tf.reduce_mean(chroma, axis=(1, 2)),
            "gray": tf.reduce_all(chroma < 1e-6, axis=(1, 2)),
            "clipped": tf.reduce_mean(clipped, axis=(1, 2, 3)),
        }

    parts = [
        measure(tf.range(first, first + 1000, dtype=tf.int64))
        for first in range(0, 20_000, 1000)
    ]
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_views_are_distributed_like_the_originals(strength):
    """The definitions that fit all of the golden figures.

    Per view and channel, mean and standard deviation over the pixels; the
    "mean saturation" is that of max - min over the channels; gray is a view
    whose channels are equal everywhere; clipped are the values at 0 or 1.
    """
    found = draws(strength)
    expected = {
        key.split("_", 2)[2]: value
        for key, value in FIGURES.items()
        if key.startswith(f"train_strength{strength}")
    }
    for name, value, tolerance in (
        ("mean_of_channel_means", found["means"].mean(axis=0), 0.03),
        ("std_of_channel_means", found["means"].std(axis=0), 0.06),
        ("mean_of_channel_stds", found["stds"].mean(axis=0), 0.03),
        ("mean_saturation", found["chroma"].mean(), 0.03),
    ):
        assert np.allclose(value, expected[name], rtol=tolerance), name
    for name, value in (
        ("grayscale_fraction", found["gray"].mean()),
        ("clipped_fraction", found["clipped"].mean()),
    ):
        assert abs(value - expected[name]) < 0.02, name


def test_evaluation_equals_the_original():
    images = tf.constant(FIGURES["eval_input_u8"][np.newaxis])
    # The golden 32x32 view has its sample points where the middle one of
    # every seven of the 224x224 view is.
    found = evaluation_view(images, 224)[0, 3::7, 3::7].numpy()
    assert golden.relative_error(found, FIGURES["eval_224"]) < 1e-4


def test_small_evaluation_images_are_not_cropped():
    found = evaluation_view(tf.constant(IMAGES[:, :32, :32]), 32)
    assert np.array_equal(
        found, tf.image.convert_image_dtype(IMAGES[:, :32, :32], tf.float32)
    )
    found = evaluation_view(tf.constant(IMAGES), 32)
    images = tf.image.convert_image_dtype(IMAGES, tf.float32)
    expected = tf.image.resize(images, (32, 32), "bicubic")
    assert np.allclose(found, np.clip(expected, 0, 1), atol=1e-5)


@pytest.mark.parametrize("size", [32, 64])
def test_views_are_unit_range_floats(size):
    for view in views(size=size):
        assert view.dtype == np.float32
        assert view.shape == (6, size, size, 3)
        assert view.min() >= 0
        assert view.max() <= 1


def test_everything_off_is_the_image():
    images = IMAGES[:, :40, :40]
    first, second = views(images, config=OFF, size=40)
    expected = tf.image.convert_image_dtype(images, tf.float32)
    assert np.array_equal(first, expected)
    assert np.array_equal(second, expected)


def test_whole_images_are_resized_where_the_size_differs():
    first, second = views(config=OFF)
    assert np.array_equal(first, second)
    assert np.allclose(first, evaluation_view(tf.constant(IMAGES), 32))


def test_flips_without_crop():
    config = AugmentConfig(
        crop_min_area=1.0, color_jitter_strength=0.0, use_blur=False
    )
    images = np.tile(IMAGES[:1, :, :40], (200, 1, 1, 1))
    ids = np.arange(200)
    view, _ = views(images, np.zeros(200), ids, config=config, size=40)
    image = images[0].astype("float32") / 255
    flipped = np.array([np.allclose(v, image[:, ::-1]) for v in view])
    same = np.array([np.allclose(v, image) for v in view])
    assert np.all(flipped ^ same)
    assert 60 < flipped.sum() < 140


@pytest.mark.parametrize(
    "config", [AugmentConfig(), EVERYTHING.supervised()], ids=["all", "mild"]
)
def test_eager_graph_and_dataset_agree(config):
    eager = views(config=config)
    arguments = (tf.constant(IMAGES), tf.constant(EPOCHS), tf.constant(IDS))

    def make(images, epochs, ids):
        return two_views(images, epochs, ids, 0, config, 32)

    graph = tf.function(make)(*arguments)
    dataset = tf.data.Dataset.from_tensor_slices(arguments).batch(6).map(make)
    mapped = next(iter(dataset))
    for one, two, three in zip(eager, graph, mapped, strict=True):
        assert np.allclose(one, two, atol=1e-5)
        assert np.allclose(one, three, atol=1e-5)


def test_batching_makes_no_difference():
    whole = views()
    for part in (slice(4, 5), slice(1, 4), [5, 0, 2]):
        found = views(IMAGES[part], EPOCHS[part], IDS[part])
        for one, two in zip(whole, found, strict=True):
            assert np.allclose(one[part], two, atol=1e-5)


def test_empty_batches_pass():
    first, _ = views(IMAGES[:0], EPOCHS[:0], IDS[:0])
    assert first.shape == (0, 32, 32, 3)


@pytest.mark.parametrize(
    "other",
    [{"seed": 1}, {"epochs": EPOCHS + 1}, {"ids": IDS + 6}],
    ids=["seed", "epoch", "id"],
)
def test_views_change_with(other):
    first, second = views()
    third, fourth = views(**other)
    for one, two in ((first, second), (first, third), (second, fourth)):
        assert np.all(np.abs(one - two).max(axis=(1, 2, 3)) > 0.05)


def test_one_view_is_the_first_of_two():
    keys = view_keys(0, EPOCHS, IDS, 0)
    found = training_view(tf.constant(IMAGES), keys, EVERYTHING, 32)
    assert np.allclose(found, views()[0], atol=1e-6)


def test_switching_a_part_off_leaves_the_others():
    """Gray views stay gray, and crops stay where they are, without jitter."""
    color = {"use_blur": False, "color_jitter_probability": 0.0}
    plain = AugmentConfig(grayscale_probability=0.0, **color)
    some = AugmentConfig(grayscale_probability=0.5, **color)
    unflipped = AugmentConfig(
        grayscale_probability=0.5, flip_probability=0.0, **color
    )
    first = views(config=plain)[0]
    second = views(config=some)[0]
    third = views(config=unflipped)[0]
    gray = np.ptp(second, axis=3).max(axis=(1, 2)) < 1e-6
    assert 0 < gray.sum() < 6
    assert np.allclose(first[~gray], second[~gray], atol=1e-6)
    assert np.array_equal(gray, np.ptp(third, axis=3).max(axis=(1, 2)) < 1e-6)
    for one, two in zip(second, third, strict=True):
        assert np.allclose(one, two, atol=1e-5) or np.allclose(
            one[:, ::-1], two, atol=1e-5
        )


def test_every_part_has_a_stream_of_its_own(monkeypatch):
    streams = []

    def recorded(keys, stream, count):
        streams.append(stream)
        return uniforms(keys, stream, count)

    monkeypatch.setattr(drawing, "uniforms", recorded)
    keys = view_keys(0, EPOCHS, IDS, 0)
    training_view(tf.constant(IMAGES), keys, EVERYTHING, 32)
    assert sorted(streams) == sorted(Stream)


def test_parts_that_are_off_cost_nothing():
    @tf.function
    def view(images):
        keys = view_keys(0, EPOCHS, IDS, 0)
        return training_view(images, keys, OFF, 40)

    concrete = view.get_concrete_function(
        tf.TensorSpec([6, 40, 40, 3], tf.uint8)
    )
    kinds = {operation.type for operation in concrete.graph.get_operations()}
    assert not kinds & {"BatchMatMulV2", "DynamicStitch", "ReverseV2"}
