"""Evaluation's view of images, and shrinking with all pixels."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_simclr.config import DataConfig
from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data.augment.framing import ORIGINAL_FRAMING, Framing
from tf_simclr.data.augment.policy import evaluation_image, evaluation_view
from tf_simclr.data.augment.spec import ViewSpec
from tf_simclr.data.batches import TrainingBatches, evaluation_batches
from tf_simclr.data.decode import decode_for_view, decode_image
from tf_simclr.data.decoding import AS_ORIGINAL, EVAL_CROPS
from tf_simclr.data.file_batches import planned, window_decoder
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.survey import Survey

# A wide image, smooth as photographs are.
WIDE = np.asarray(
    Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (6, 18, 3), dtype=np.uint8)
    ).resize((900, 300), Image.Resampling.BICUBIC)
)
SMOOTH = Framing(antialias=True)


def resized(image, width, height):
    """The image resized by Pillow, whose filters let all pixels count."""
    picture = Image.fromarray(image).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    return np.asarray(picture).astype(np.float32) / 255


def jpeg(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize("antialias", [False, True])
def test_whole_shows_all(antialias):
    framing = Framing("whole", antialias)
    found = evaluation_image(tf.constant(WIDE), 48, framing).numpy()
    assert np.abs(found - resized(WIDE, 48, 48)).max() < 0.05
    batch = evaluation_view(tf.constant(WIDE[None]), 48, framing)[0].numpy()
    assert np.abs(found - batch).max() < 1e-5


@pytest.mark.parametrize("antialias", [False, True])
def test_pad_keeps_the_shape(antialias):
    framing = Framing("pad", antialias)
    found = evaluation_image(tf.constant(WIDE), 48, framing).numpy()
    assert not found[:16].any() and not found[-16:].any()
    assert np.abs(found[16:32] - resized(WIDE, 48, 16)).max() < 0.05
    batch = evaluation_view(tf.constant(WIDE[None]), 48, framing)[0].numpy()
    assert np.abs(found - batch).max() < 1e-5
    square = evaluation_image(tf.constant(WIDE[:300, :300]), 48, framing)
    assert np.abs(square - resized(WIDE[:300, :300], 48, 48)).max() < 0.05


def test_center_is_the_originals():
    image = tf.constant(WIDE)
    for framing in (ORIGINAL_FRAMING, Framing("center")):
        found = evaluation_image(image, 48, framing)
        assert np.array_equal(found, evaluation_image(image, 48))
    smooth = evaluation_image(image, 48, SMOOTH).numpy()
    assert np.abs(smooth - evaluation_image(image, 48)).max() < 0.05


def test_all_pixels_count_with_antialias():
    """Stripes of one pixel are gray from afar."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    aliased = evaluation_image(tf.constant(stripes), 33, Framing("whole"))
    smooth = evaluation_image(
        tf.constant(stripes), 33, Framing("whole", antialias=True)
    )
    assert np.abs(smooth.numpy() - 0.5).max() < 0.02
    assert np.abs(aliased.numpy() - 0.5).max() > 0.2


def test_an_image_of_the_right_size_stays_as_it_is():
    image = tf.constant(WIDE[:48, :48])
    for crop in EVAL_CROPS:
        for antialias in (False, True):
            found = evaluation_image(image, 48, Framing(crop, antialias))
            assert np.array_equal(found, evaluation_image(image, 48))
            assert np.abs(found - WIDE[:48, :48] / 255).max() < 1e-6


def test_jpeg_files_are_reduced_no_further_than_the_view():
    framing = SMOOTH
    sides = tf.constant([47, 48, 95, 96, 191, 192, 383, 384, 4000])
    found = framing.scale(sides, 48).numpy().tolist()
    assert found == [1, 1, 1, 2, 2, 4, 4, 8, 8]
    assert set(ORIGINAL_FRAMING.scale(sides, 48).numpy()) == {1}
    data = tf.constant(jpeg(WIDE))
    whole_image = Framing("whole", antialias=True)
    reduced = decode_for_view(data, AS_ORIGINAL, whole_image, 48)
    # 300 * 7 / 8 = 262 = 5.5 * 48.
    assert reduced.shape == (75, 225, 3)
    view = evaluation_image(reduced, 48, whole_image).numpy()
    whole = evaluation_image(decode_image(data), 48, whole_image).numpy()
    assert np.abs(view - whole).mean() < 0.01


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Large JPEG files and one PNG file, some on their side."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(6):
        image = Image.fromarray(np.roll(WIDE, 40 * number, axis=1))
        exif = image.getexif()
        exif[0x0112] = (1, 6, 3)[number % 3]
        name = f"{number}.{'png' if number == 5 else 'jpg'}"
        image.save(folder / name, exif=exif, quality=95)
    return str(folder)


def test_training_crops_are_those_of_the_whole_image(photos):
    """At a lower scale, up to the rounding of boxes to its pixels."""
    augment = AugmentConfig()
    spec = ViewSpec(augment, 32, 0, ("view1", "view2"))
    config = {"dataset": photos, "image_size": 32, "scan_images": False}
    crops = {}
    for antialias in (False, True):
        train = open_dataset(DataConfig(**config, antialias=antialias)).train
        numbers = tf.range(6, dtype=tf.int64)
        order = tf.data.Dataset.from_tensors((tf.zeros_like(numbers), numbers))
        decode = window_decoder(train, 32)
        crops[antialias] = []
        for item in planned(train, spec, order, 6):
            image, boxes = decode(item)
            crops[antialias] += [
                SMOOTH.resize(
                    tf.cast(
                        image[y : y + h, x : x + w][tf.newaxis], tf.float32
                    ),
                    32,
                    32,
                )[0].numpy()
                for y, x, h, w in boxes.numpy()
            ]
    assert len(crops[True]) == 12
    for whole, reduced in zip(crops[False], crops[True], strict=True):
        assert np.abs(whole - reduced).mean() < 5


@pytest.mark.parametrize("where", ["host", "device"])
def test_batches_are_smooth(photos, where):
    config = {"dataset": photos, "image_size": 32, "scan_images": False}
    augment = AugmentConfig(
        color_jitter_strength=0.0, use_blur=False, augment_on=where
    )
    views = {}
    for antialias in (False, True):
        train = open_dataset(DataConfig(**config, antialias=antialias)).train
        batches = TrainingBatches(train, augment, 32, 0, contrastive=True)
        views[antialias] = batches.sample(6, 6, 1)["view1"].numpy()
    assert views[True].shape == (6, 32, 32, 3)
    difference = np.abs(views[True] - views[False])
    assert 0 < difference.mean() < 0.05


def test_evaluation_goes_by_the_flags(photos):
    config = {"dataset": photos, "image_size": 48, "scan_images": False}
    for crop in EVAL_CROPS:
        train = open_dataset(
            DataConfig(**config, eval_crop=crop, antialias=True)
        ).train
        (batch,) = evaluation_batches(train, 6, 48)
        black = (batch["image"].numpy()[0].max(axis=(1, 2)) == 0).sum()
        assert black == (32 if crop == "pad" else 0)


def test_long_and_large_images_are_told():
    survey = Survey.of_size(300, 900, 5)
    long, large = survey.size_notices(ORIGINAL_FRAMING, 48)
    assert "half of the images are 3 times as long as wide" in long
    assert "sides of 300 pixels or more, for views of 48" in large
    assert survey.size_notices(Framing("pad", True), 48) == []
    assert survey.size_notices(Framing(antialias=True), 32) == []
    assert Survey.of_size(90, 90, 5).size_notices(ORIGINAL_FRAMING, 48) == []
