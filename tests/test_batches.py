"""Batches of views: the same pixels whatever the way they are made."""

import dataclasses
import functools

import golden_figures as golden
import numpy as np
import pictures
import pytest
import tensorflow as tf

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.data import array_batches
from tf_simclr.data.augment import spec
from tf_simclr.data.augment.policy import evaluation_view
from tf_simclr.data.augment.spec import WorkLimits
from tf_simclr.data.batches import TrainingBatches, evaluation_batches
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels

EVERYTHING = AugmentConfig(
    rotate_degrees=20.0, shear_degrees=10.0, translate_fraction=0.1
)
OFF = AugmentConfig(
    crop_min_area=1.0,
    flip_probability=0.0,
    color_jitter_strength=0.0,
    use_blur=False,
)
COUNT, BATCH = 12, 4


def image_set(pixels) -> ImageSet:
    """Images whose labels are their numbers."""
    labels = np.arange(len(pixels), dtype=np.int32)
    names = tuple(map(str, labels))
    return ImageSet("train", pixels, labels, names, names)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return np.stack([pictures.tile(i, 40, 48) for i in range(COUNT)])


@pytest.fixture(scope="module")
def sets(photos, tmp_path_factory) -> dict[str, ImageSet]:
    """The same images in memory and as lossless files."""
    folder = tmp_path_factory.mktemp("files")
    for index, photo in enumerate(photos):
        kind = ("PNG", "BMP")[index % 2]
        (folder / str(index)).write_bytes(pictures.encode(photo, kind))
    names = tuple(map(str, range(COUNT)))
    return {
        "array": image_set(ArrayPixels(photos)),
        "files": image_set(FilePixels(str(folder), names)),
    }


# Compiles however short the work is.
COMPILED = WorkLimits(compile_pixels=0)


def take(
    images, config=EVERYTHING, steps=(0, 6), size=32, batch=BATCH, **options
):
    """[{name: array}] of some steps: images twice, in two orders."""
    batches = TrainingBatches(
        images,
        config,
        size,
        options.pop("seed", 0),
        contrastive=True,
        limits=options.pop("limits", WorkLimits()),
        balanced=options.pop("balanced", False),
    )
    dataset = batches.dataset(batch, *steps)
    threads = options.pop("threads", 0)
    if threads:
        settings = tf.data.Options()
        settings.threading.private_threadpool_size = threads
        settings.threading.max_intra_op_parallelism = threads
        dataset = dataset.with_options(settings)
    assert not options
    return [
        {name: value.numpy() for name, value in batches.views(items).items()}
        for items in dataset
    ]


@pytest.fixture(scope="module")
def plain(sets):
    """`take` of a kind of images with nothing special, made once."""
    return functools.cache(
        lambda kind, config=EVERYTHING: take(sets[kind], config)
    )


def by_image(found) -> dict[str, np.ndarray]:
    """The views of the first pass, in order of images."""
    joined = {
        name: np.concatenate([items[name] for items in found])
        for name in found[0]
    }
    first = joined["label"][:COUNT]
    assert sorted(first) == list(range(COUNT))
    order = np.argsort(first)
    return {name: value[:COUNT][order] for name, value in joined.items()}


def assert_equal(found, expected, limit=0.0):
    for items, others in zip(found, expected, strict=True):
        assert items.keys() == others.keys()
        assert np.array_equal(items["label"], others["label"])
        # Labels are the images' numbers here.
        assert np.array_equal(items["index"], items["label"])
        for name in ("view1", "view2"):
            assert items[name].dtype == np.float32
            difference = np.abs(items[name] - others[name]).max()
            assert difference <= limit, name


def on_device(config: AugmentConfig) -> AugmentConfig:
    return dataclasses.replace(config, augment_on="device")


@pytest.mark.parametrize("kind", ["array", "files"])
def test_shapes_and_range(plain, kind):
    for items in plain(kind):
        for name in ("view1", "view2"):
            assert items[name].shape == (BATCH, 32, 32, 3)
            assert items[name].min() >= 0 and items[name].max() <= 1
        assert items["label"].dtype == np.int32
        assert items["index"].dtype == np.int64
        assert np.array_equal(items["index"], items["label"])


@pytest.mark.parametrize(
    "config, size",
    [
        (EVERYTHING, 32),
        # One by one.
        (EVERYTHING, 96),
        (AugmentConfig(), 32),
        (EVERYTHING.supervised(), 32),
        (OFF, 96),
    ],
    ids=["everything-32", "everything-96", "default", "mild", "off"],
)
def test_files_equal_arrays(sets, config, size):
    found = take(sets["files"], config, size=size)
    assert_equal(found, take(sets["array"], config, size=size), 1e-5)


@pytest.mark.parametrize("kind", ["array", "files"])
@pytest.mark.parametrize(
    "config",
    [
        EVERYTHING,
        AugmentConfig(brightness="additive"),
        AugmentConfig(blur_sigma="per_batch"),
        OFF,
    ],
    ids=["everything", "additive", "per_batch", "off"],
)
def test_the_device_makes_the_same_views(sets, plain, kind, config):
    found = take(sets[kind], on_device(config))
    assert_equal(found, plain(kind, config), 1e-5)


def test_windows_too_large_for_a_batch_are_resized_before(sets):
    config = AugmentConfig(use_blur=False, color_jitter_strength=0.0)
    expected = take(sets["files"], config)
    limits = WorkLimits(window=1.0)
    found = take(sets["files"], on_device(config), limits=limits)
    assert_equal(found, expected, 0.5 / 255 + 1e-5)
    with pytest.raises(AssertionError):
        assert_equal(found, expected, 1e-5)


@pytest.mark.parametrize("kind", ["array", "files"])
@pytest.mark.parametrize(
    "config",
    [
        EVERYTHING,
        AugmentConfig(brightness="additive", grayscale_probability=0.5),
        AugmentConfig(color_jitter_strength=0.0, blur_probability=1.0),
    ],
    ids=["everything", "additive", "blur"],
)
def test_compiled_views_are_the_same(sets, plain, kind, config):
    found = take(sets[kind], config, limits=COMPILED)
    assert_equal(found, plain(kind, config), 1e-5)


def test_without_a_compiler_nothing_changes(sets, monkeypatch):
    monkeypatch.setattr(spec, "can_compile", lambda: False)
    found = take(sets["array"], steps=(0, 1), limits=COMPILED)
    assert_equal(found, take(sets["array"], steps=(0, 1)))


@pytest.mark.parametrize("where", ["host", "compiled", "device"])
@pytest.mark.parametrize("kind", ["array", "files"])
def test_threads_and_resumes_change_no_pixel(sets, kind, where):
    config = on_device(EVERYTHING) if where == "device" else EVERYTHING
    options = {"limits": COMPILED} if where == "compiled" else {}
    undisturbed = take(sets[kind], config, threads=1, **options)
    again = take(sets[kind], config, threads=8, **options)
    assert_equal(again, undisturbed)
    later = take(sets[kind], config, steps=(4, 6), **options)
    assert_equal(later, undisturbed[4:])


@pytest.mark.parametrize("kind", ["array", "files"])
def test_replicas_share_a_batch(sets, plain, kind):
    halves = take(sets[kind], steps=(0, 12), batch=BATCH // 2)
    joined = [
        {name: np.concatenate([first[name], second[name]]) for name in first}
        for first, second in zip(halves[::2], halves[1::2], strict=True)
    ]
    assert_equal(joined, plain(kind), 1e-6)


@pytest.mark.parametrize("share", [1, 2, 4])
def test_large_batches_are_made_in_shares(sets, plain, share):
    found = take(sets["array"], limits=WorkLimits(share=share))
    assert_equal(found, plain("array"), 1e-6)


def test_shares_divide_batches():
    divisor = array_batches._largest_divisor
    assert divisor(4096, 128) == 128
    assert divisor(1000, 128) == 125
    assert divisor(100, 128) == 100
    assert divisor(2 * 131, 128) == 262  # not 2


@pytest.mark.parametrize("kind", ["array", "files"])
def test_views_change_with_epoch_seed_and_view(sets, plain, kind):
    found = plain(kind)
    first = by_image(found)
    second = by_image(found[COUNT // BATCH :])
    other = by_image(take(sets[kind], seed=1))
    for one, two in (
        (first["view1"], first["view2"]),
        (first["view1"], second["view1"]),
        (first["view1"], other["view1"]),
    ):
        assert np.all(np.abs(one - two).max(axis=(1, 2, 3)) > 0.05)


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("kind", ["array", "files"])
def test_with_everything_off_the_views_are_the_image(sets, photos, kind, where):
    config = dataclasses.replace(OFF, augment_on=where)
    views = by_image(take(sets[kind], config))
    assert np.array_equal(views["view1"], views["view2"])
    expected = evaluation_view(tf.constant(photos), 32)
    assert np.allclose(views["view1"], expected, atol=1e-5)


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize("kind", ["array", "files"])
def test_both_views_are_of_the_labels_image(kind, where, tmp_path):
    """Every image has a gray of its own, which survives crops and flips."""
    levels = np.arange(20, 20 + 15 * COUNT, 15).astype(np.uint8)
    stored = np.broadcast_to(levels[:, None, None, None], (COUNT, 40, 48, 3))
    pixels = ArrayPixels(np.ascontiguousarray(stored))
    if kind == "files":
        names = tuple(map(str, range(COUNT)))
        for name, image in zip(names, pixels.array, strict=True):
            encoded = pictures.encode(image, "JPEG", quality=98)
            (tmp_path / name).write_bytes(encoded)
        pixels = FilePixels(str(tmp_path), names)
    config = AugmentConfig(
        color_jitter_strength=0.0, use_blur=False, augment_on=where
    )
    for items in take(image_set(pixels), config):
        for name in ("view1", "view2"):
            found = items[name].mean(axis=(1, 2, 3)) * 255
            assert np.allclose(found, levels[items["label"]], atol=3), name


def test_every_image_is_read_once(sets):
    reads = []

    @dataclasses.dataclass(frozen=True)
    class Counted(FilePixels):
        def encoded(self, index):
            def note(number):
                reads.append(int(number))
                return number

            noted = tf.numpy_function(note, [index], index.dtype)
            return super().encoded(tf.ensure_shape(noted, []))

    pixels = sets["files"].pixels
    counted = image_set(Counted(pixels.root, pixels.names))
    found = take(counted, steps=(0, COUNT // BATCH))
    assert sorted(reads) == list(range(COUNT))
    assert_equal(found, take(sets["files"], steps=(0, COUNT // BATCH)))


def test_turned_photographs_have_upright_views(tmp_path):
    """A window of a turned image is cut where the upright image has it."""
    from PIL import Image

    exif = Image.Exif()
    smooth = np.linspace(0, 255, 48, dtype=np.float32)
    image = np.stack(np.broadcast_arrays(smooth, smooth[:40, None], 90), -1)
    image = image.astype(np.uint8)
    names = []
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        kind = (orientation - 1) % 4
        stored = image[:: -1 if kind >= 2 else 1]
        stored = stored[:, :: -1 if kind in (1, 2) else 1]
        if orientation >= 5:
            stored = stored.transpose(1, 0, 2)
        names.append(f"{orientation}.jpg")
        (tmp_path / names[-1]).write_bytes(
            pictures.encode(stored, "JPEG", quality=98, exif=exif)
        )
    turned = image_set(FilePixels(str(tmp_path), tuple(names)))
    upright = image_set(ArrayPixels(np.stack([image] * 8)))
    config = AugmentConfig(color_jitter_strength=0.0, use_blur=False)
    found = take(turned, config, steps=(0, 2))
    assert_equal(found, take(upright, config, steps=(0, 2)), 8 / 255)


def test_views_of_files_are_distributed_like_the_originals(tmp_path):
    """The golden figures at full strength; see tests/test_policy.py."""
    figures = golden.load("augment.npz")
    image = np.round(figures["image"] * 255).astype(np.uint8)
    (tmp_path / "0").write_bytes(pictures.encode(image, "PNG"))
    images = image_set(FilePixels(str(tmp_path), ("0",) * 500))
    batches = TrainingBatches(
        images,
        AugmentConfig(use_blur=False),
        32,
        0,
        contrastive=True,
        limits=COMPILED,
    )
    dataset = batches.dataset(500, 0, 6)
    views = np.concatenate(
        [items[name] for items in dataset for name in ("view1", "view2")]
    )
    means, chroma = views.mean(axis=(1, 2)), np.ptp(views, axis=3)
    gray = np.all(chroma < 1e-6, axis=(1, 2))
    for name, value, tolerance in (
        ("mean_of_channel_means", means.mean(axis=0), 0.03),
        ("std_of_channel_means", means.std(axis=0), 0.06),
        ("mean_of_channel_stds", views.std(axis=(1, 2)).mean(axis=0), 0.03),
        ("mean_saturation", chroma.mean(), 0.03),
    ):
        expected = figures[f"train_strength1.0_{name}"]
        assert np.allclose(value, expected, rtol=tolerance), name
    for name, value in (
        ("grayscale_fraction", gray.mean()),
        ("clipped_fraction", np.mean((views <= 0) | (views >= 1))),
    ):
        expected = figures[f"train_strength1.0_{name}"]
        assert abs(value - expected) < 0.02, name


@pytest.mark.parametrize("size", [24, 32, 40, 48, 96])
def test_evaluation_sees_every_image_once(sets, photos, size):
    for kind in ("array", "files"):
        found = list(evaluation_batches(sets[kind], 5, size))
        assert [len(items["label"]) for items in found] == [5, 5, 2]
        labels = np.concatenate([items["label"] for items in found])
        assert np.array_equal(labels, np.arange(COUNT))
        views = np.concatenate([items["image"] for items in found])
        expected = evaluation_view(tf.constant(photos), size)
        assert np.allclose(views, expected, atol=1e-5), kind


def test_evaluation_of_images_of_all_sizes(tmp_path):
    sizes = [(32, 32), (40, 30), (1, 50), (50, 1), (224, 300), (33, 40)]
    names = tuple(map(str, range(len(sizes))))
    tiles = [pictures.tile(i, *size) for i, size in enumerate(sizes)]
    for name, pixels in zip(names, tiles, strict=True):
        (tmp_path / name).write_bytes(pictures.encode(pixels, "PNG"))
    images = image_set(FilePixels(str(tmp_path), names))
    for size in (32, 40):
        (items,) = evaluation_batches(images, len(sizes), size)
        for found, pixels in zip(items["image"], tiles, strict=True):
            expected = evaluation_view(tf.constant(pixels[None]), size)[0]
            assert np.allclose(found, expected, atol=1e-5)
    for items in take(images, EVERYTHING, steps=(0, 2), batch=3):
        assert np.isfinite(items["view1"]).all()


@pytest.mark.parametrize("size", [32, 16])
@pytest.mark.parametrize("place", ["host", "device"])
@pytest.mark.parametrize("kind", ["array", "files"])
def test_batches_draw_classes_evenly(sets, kind, place, size):
    # Two of the images are of class 1, ten of class 0.
    labels = (np.arange(COUNT) % 6 == 5).astype(np.int32)
    images = sets[kind].with_labels(labels)
    config = dataclasses.replace(OFF, augment_on=place, crop_min_area=0.5)
    found = take(images, config, size=size, balanced=True)
    for items in found:
        assert sorted(items["label"]) == [0, 0, 1, 1]
        assert np.array_equal(items["label"], labels[items["index"]])
    # Those of a step are the same wherever a run starts.
    later = take(images, config, steps=(4, 6), size=size, balanced=True)
    for items, others in zip(later, found[4:], strict=True):
        for name, value in items.items():
            assert np.array_equal(value, others[name]), name
    # A rare image that comes again is another view.
    rare = [v for x in found for v in x["view1"][x["index"] == 5]]
    assert len(rare) == 6
    assert len({view.tobytes() for view in rare}) == 6
    plain = take(images, config, size=size)
    assert any((items["label"] == 0).all() for items in plain)
