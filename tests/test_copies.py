"""The same image twice in a split, or under two labels, is said."""

import dataclasses

import numpy as np
import pictures
import pytest

from tf_simclr.config import DataConfig
from tf_simclr.data.near_duplicates import find_near_duplicates
from tf_simclr.data.sources.copies import copies_notices
from tf_simclr.data.sources.folder import list_folder
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.index import read_index, write_index
from tf_simclr.data.sources.open import open_images
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.scan import scan_source

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes, a file in both, and a file twice in one of them."""
    root = tmp_path / "photos"
    for name, number in (
        *(("ant/a.png", 0), ("ant/b.png", 1), ("ant/copy of a.png", 0)),
        *(("bee/a.png", 2), ("bee/b.png", 1), ("bee/c.png", 3)),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures.encode(PIXELS[number], "PNG"))
    return root


def test_copies_in_a_folder_are_said(folder, tmp_path):
    _, notices = open_images(DataConfig(dataset=str(folder)), "train")
    assert (
        "copies of another image of 'train': 2 ('ant/copy of a.png' of ant and"
        " 'ant/a.png' of ant, 'bee/b.png' of bee and 'ant/b.png' of ant)"
        in notices
    )
    assert (
        "copies of an image of 'train' that have another label than it: 1"
        " ('bee/b.png' of bee and 'ant/b.png' of ant)" in notices
    )
    # From its index, too.
    source = scan_source(list_folder(str(folder), "auto"))
    write_index(str(tmp_path / "index.npz"), "key", source)
    found = read_index(str(tmp_path / "index.npz"), "key").splits["train"]
    assert copies_notices(found) == copies_notices(source.splits["train"])
    assert len(copies_notices(found)) == 2
    unseen = dataclasses.replace(found, digests=None)
    assert copies_notices(unseen) == []


def images_of(places, labels) -> ImageSet:
    ids = tuple(f"{labels}/{at}" for at in range(len(places)))
    labels = np.array(labels, np.int32)
    return ImageSet(
        "train", ArrayPixels(PIXELS[list(places)]), labels, ("ant", "bee"), ids
    )


def test_copies_in_memory_are_said():
    assert copies_notices(images_of([0, 1, 2], [0, 1, 0])) == []
    (notice,) = copies_notices(images_of([0, 1, 0], [0, 1, 0]))
    assert notice.startswith("copies of another image of 'train': 1 (")
    # An unlabelled copy contradicts nobody, but two of its copies may.
    assert len(copies_notices(images_of([0, 0, 1], [-1, 1, 1]))) == 1
    _, notice = copies_notices(images_of([0, 0, 0], [-1, 1, 0]))
    assert "have another label than it: 1 (" in notice
    assert "0]/2' of ant and " in notice
    assert "0]/1' of bee" in notice


def test_small_evaluation_images_are_compared_by_content():
    training = images_of([0, 1, 2], [0, 0, 1])
    evaluation = images_of([3, 1, 4], [1, 1, 1])
    found = find_near_duplicates(evaluation, training)
    assert found.rows == (
        (evaluation.ids[1], training.ids[1], 1.0, "bee", "ant"),
    )


def test_small_evaluation_files_are_compared_by_content(folder):
    training = scan_source(list_folder(str(folder), "auto"), hashes=True)
    images = training.splits["train"]
    first, second = images.take(np.array([0, 1])), images.take(np.arange(2, 6))
    found = find_near_duplicates(second, first)
    assert [row[:3] for row in found.rows] == [
        ("ant/copy of a.png", "ant/a.png", 1.0),
        ("bee/b.png", "ant/b.png", 1.0),
    ]
