"""Small data sets are decoded once, and stay the same images."""

import numpy as np
import pictures
import pytest

from tf_simclr.data.array_batches import decoded_images, keep_decoded
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels

COUNT = 5


def files(folder, sizes, kind="PNG") -> ImageSet:
    """Images of these sizes, in files that are called by their numbers."""
    names = tuple(map(str, range(len(sizes))))
    for number, (name, size) in enumerate(zip(names, sizes, strict=True)):
        tile = pictures.tile(number, *size)
        (folder / name).write_bytes(pictures.encode(tile, kind))
    labels = np.arange(len(sizes), dtype=np.int32)
    pixels = FilePixels(str(folder), names)
    return ImageSet("train", pixels, labels, names, names)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_small_images_of_one_size_are_kept(tmp_path, kind):
    images = files(tmp_path, [(24, 30)] * COUNT, kind)
    kept = keep_decoded(images, wanted=False)
    assert isinstance(kept.pixels, ArrayPixels)
    assert kept.ids == images.ids
    assert np.array_equal(kept.labels, images.labels)
    expected = [image.numpy() for image in decoded_images(images)]
    assert np.array_equal(kept.pixels.array, expected)
    if kind == "PNG":
        tiles = [pictures.tile(number, 24, 30) for number in range(COUNT)]
        assert np.array_equal(kept.pixels.array, tiles)
    assert keep_decoded(kept, wanted=False) is kept


def test_images_of_several_sizes_stay_files(tmp_path):
    images = files(tmp_path, [(24, 30)] * COUNT + [(30, 24)])
    assert keep_decoded(images, wanted=True) is images


def test_large_images_are_kept_where_that_is_wanted(tmp_path):
    images = files(tmp_path, [(20, 65)] * COUNT)
    assert keep_decoded(images, wanted=False) is images
    kept = keep_decoded(images, wanted=True)
    assert kept.pixels.size == (20, 65)


def test_what_takes_too_much_memory_stays_files(tmp_path):
    images = files(tmp_path, [(24, 30)] * COUNT)
    needed = COUNT * 24 * 30 * 3
    assert keep_decoded(images, True, most_bytes=needed - 1) is images
    assert keep_decoded(images, True, most_bytes=needed) is not images
