"""Shrunk copies: their pixels, and that nothing is made twice or half."""

import fcntl
import os
import threading

import numpy as np
import pytest
import tensorflow as tf
from pictures import encode, tile
from PIL import Image
from tiny import FLAGS

from tf_simclr import cli
from tf_simclr.config import Config, DataConfig
from tf_simclr.data import shrunk_copies
from tf_simclr.data.decode import decode_image
from tf_simclr.data.shrunk_copies import side_of_copies, with_shrunk_copies
from tf_simclr.data.sources.image_set import image_set_of_array
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.errors import DataFailed, UserError

SIZE = 16
SIDE = side_of_copies(SIZE)
SIDEWAYS = 6


@pytest.fixture
def photos(tmp_path):
    """Images of many kinds: two of them small."""
    folder = tmp_path / "photos"
    folder.mkdir()
    large = tile(0, 120, 200)
    exif = Image.Exif()
    exif[0x0112] = SIDEWAYS
    alpha = np.full((120, 200, 1), 255, np.uint8)
    alpha[:60] = 0
    clear = np.concatenate([tile(1, 120, 200), alpha], axis=2)
    deep = tile(2, 120, 200)[..., 0].astype(np.uint16) * 16
    files = {
        "a.jpg": encode(large, "JPEG", quality=95),
        "b.jpg": encode(large, "JPEG", quality=95, exif=exif),
        "c.png": encode(clear, "PNG"),
        "d.png": encode(deep, "PNG"),
        "e.tif": encode(tile(4, 90, 64), "TIFF"),
        "f.jpg": encode(tile(5, 32, 70), "JPEG"),
        "g.png": encode(tile(6, 20, 24), "PNG"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def opened(folder, **flags):
    return open_dataset(DataConfig(dataset=str(folder), **flags)).train


def shards(cache):
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.tfrecord")}


def decoded(images, index):
    encoded = images.pixels.encoded(tf.constant(index))
    return decode_image(encoded, images.pixels.how).numpy()


def test_a_copy_shows_the_image_shrunk_with_all_its_pixels(photos, tmp_path):
    images = opened(photos)
    copies = with_shrunk_copies(images, str(tmp_path / "cache"), SIDE)
    assert copies.ids == images.ids and copies.framing == images.framing
    shapes = []
    for index, name in enumerate(images.ids):
        whole, copy = decoded(images, index), decoded(copies, index)
        shapes.append(copy.shape[:2])
        height, width = copy.shape[:2]
        if min(whole.shape[:2]) <= SIDE:
            stored = copies.pixels.encoded(tf.constant(index)).numpy()
            assert stored == (photos / name).read_bytes()
            continue
        assert min(height, width) == SIDE
        expected = Image.fromarray(whole).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        assert np.abs(copy - np.asarray(expected, np.float32)).mean() < 2.5
    sideways = shapes[images.ids.index("b.jpg")]
    assert sideways == shapes[images.ids.index("a.jpg")][::-1] == (53, 32)
    # As they are stored.
    kinds = [
        copies.pixels.encoded(tf.constant(index)).numpy()[:2]
        for index in range(len(images))
    ]
    assert kinds == [b"\xff\xd8"] * 2 + [b"\x89P"] * 3 + [b"\xff\xd8", b"\x89P"]


def test_views_of_copies_are_almost_those_of_the_files(photos, tmp_path):
    from tf_simclr.config.augment import AugmentConfig
    from tf_simclr.data.batches import TrainingBatches

    # Of one shape each, so that boxes fall on the same places.
    for name in ("b.jpg", "c.png", "d.png", "e.tif", "f.jpg", "g.png"):
        (photos / name).unlink()
    images = opened(photos, antialias=True)
    copies = with_shrunk_copies(images, str(tmp_path / "cache"), SIDE)
    augment = AugmentConfig(color_jitter_strength=0.0, use_blur=False)
    views = [
        TrainingBatches(each, augment, SIZE, 0, contrastive=True)
        .sample(1, 1, 1)["view1"]
        .numpy()
        for each in (images, copies)
    ]
    assert np.abs(views[0] - views[1]).mean() < 0.05
    assert views[0].std() > 0.1


def test_what_is_there_is_not_made_again(photos, tmp_path, capsys):
    cache = tmp_path / "cache"
    with_shrunk_copies(opened(photos), str(cache), SIDE)
    said = capsys.readouterr().out
    assert "Shrinking 7 of 7 images to 32 pixels" in said
    before = shards(cache)
    # Another name, another folder, a label, the same bytes twice.
    (photos / "cats").mkdir()
    (photos / "a.jpg").rename(photos / "cats" / "z.jpg")
    (photos / "copy.png").write_bytes((photos / "c.png").read_bytes())
    again = with_shrunk_copies(opened(photos), str(cache), SIDE)
    assert shards(cache) == before and capsys.readouterr().out == ""
    first, second = (again.ids.index(name) for name in ("c.png", "copy.png"))
    assert np.array_equal(decoded(again, first), decoded(again, second))
    # A file that came is copied alone; other views and depths have their own.
    (photos / "h.png").write_bytes(encode(tile(9, 64, 64), "PNG"))
    with_shrunk_copies(opened(photos), str(cache), SIDE)
    assert "Shrinking 1 of 9" in capsys.readouterr().out
    with_shrunk_copies(opened(photos), str(cache), SIDE * 2)
    with_shrunk_copies(opened(photos, alpha="black"), str(cache), SIDE)
    assert sorted(os.listdir(cache)) == [
        *("32px-black-12bit", "32px-white-12bit", "64px-white-12bit"),
    ]


def test_a_pass_that_was_stopped_is_taken_up(photos, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    images = opened(photos)
    written = []
    write = shrunk_copies.write_shard

    def stopped(path, records):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path)
        write(path, records)

    with monkeypatch.context() as patch:
        patch.setattr(shrunk_copies, "write_shard", stopped)
        with pytest.raises(KeyboardInterrupt):
            with_shrunk_copies(images, cache, SIDE, shard=2)
    before = shards(tmp_path)
    assert len(before) == 2
    copies = with_shrunk_copies(images, cache, SIDE, shard=2)
    after = shards(tmp_path)
    assert len(after) == 4 and before.items() <= after.items()
    # Without its table, a shard does not count.
    next(iter(after)).with_suffix(".npz").unlink()
    again = with_shrunk_copies(images, cache, SIDE, shard=2)
    assert again.pixels.shards == copies.pixels.shards
    whole = with_shrunk_copies(images, str(tmp_path / "other"), SIDE)
    for index in range(len(images)):
        assert np.array_equal(decoded(copies, index), decoded(whole, index))


def test_a_shard_that_is_not_whole_is_made_again(photos, tmp_path, capsys):
    cache = tmp_path / "cache"
    images = opened(photos)
    with_shrunk_copies(images, str(cache), SIDE, shard=3)
    first, second, third = sorted(cache.rglob("*.tfrecord"))
    first.write_bytes(first.read_bytes()[:-40])
    second.unlink()
    table = third.with_suffix(".npz")
    table.write_bytes(table.read_bytes()[:100])
    capsys.readouterr()
    copies = with_shrunk_copies(images, str(cache), SIDE, shard=3)
    said = capsys.readouterr().out
    assert said.count("is not whole: its copies are made again") == 3
    assert "Shrinking 7 of 7" in said
    for index in range(len(images)):
        decoded(copies, index)


def test_a_file_that_was_changed_meanwhile_is_named(photos, tmp_path):
    images = opened(photos)
    (photos / "a.jpg").write_bytes(encode(tile(8, 100, 100), "JPEG"))
    with pytest.raises(DataFailed, match=r"a.jpg was changed.*--refresh_index"):
        with_shrunk_copies(images, str(tmp_path / "cache"), SIDE)
    assert not shards(tmp_path)


def test_files_that_nobody_looked_at_are_refused(photos, tmp_path):
    images = opened(photos, scan_images=False)
    with pytest.raises(UserError, match="leave out --noscan_images"):
        with_shrunk_copies(images, str(tmp_path / "cache"), SIDE)


def test_a_folder_that_is_a_file_is_refused(photos, tmp_path):
    (tmp_path / "cache").write_text("x")
    with pytest.raises(UserError, match="cannot be written to: .* Received:"):
        with_shrunk_copies(opened(photos), str(tmp_path / "cache"), SIDE)


def test_images_in_memory_stay_there(tmp_path, capsys):
    images = image_set_of_array(np.zeros((2, 40, 40, 3), np.uint8))
    cache = tmp_path / "cache"
    assert with_shrunk_copies(images, str(cache), SIDE) is images
    assert "the images are in memory" in capsys.readouterr().out
    assert not cache.exists()


def test_a_second_process_waits_and_finds_the_copies(photos, tmp_path, capsys):
    cache, images = tmp_path / "cache", opened(photos)
    place = cache / "32px-white-12bit"
    place.mkdir(parents=True)
    with open(place / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(
            target=with_shrunk_copies, args=(images, str(cache), SIDE)
        )
        thread.start()
        thread.join(1)
        assert thread.is_alive() and not shards(cache)
        # What the first process does meanwhile.
        how = str(tmp_path / "elsewhere")
        with_shrunk_copies(images, how, SIDE)
        for path in (tmp_path / "elsewhere" / place.name).iterdir():
            if path.name != ".lock":
                path.rename(place / path.name)
    thread.join(60)
    assert not thread.is_alive()
    said = capsys.readouterr().out
    assert "Another process writes to" in said
    assert said.count("Shrinking") == 1


def test_a_service_does_not_read_them():
    with pytest.raises(UserError, match="no effect with --data_service"):
        Config.from_flags(
            [
                "--mode=pretrain",
                "--model_dir=a",
                "--prepare_cache=cache",
                "--data_service=grpc://localhost:5050",
            ]
        ).check()


@pytest.mark.slow
def test_stages_read_them(tmp_path, one_block, monkeypatch, capsys):
    """Pretraining writes, fine-tuning reads."""
    folder = tmp_path / "classes"
    for number in range(24):
        place = folder / ("train", "test")[number % 4 == 3] / f"c{number % 3}"
        place.mkdir(parents=True, exist_ok=True)
        data = encode(tile(number, 60, 80), "JPEG", quality=95)
        (place / f"{number}.jpg").write_bytes(data)
    common = [*FLAGS, f"--dataset={folder}", "--image_size=8"]
    monkeypatch.chdir(tmp_path)

    def printed(*flags: str) -> str:
        assert cli.main(["run.py", *common, *flags]) == 0
        return capsys.readouterr().out

    cache = "--prepare_cache=cache"
    pretrained = printed("--mode=pretrain", "--model_dir=a", cache)
    assert "Shrinking 18 of 18 images to 16 pixels" in pretrained
    tuned = printed(
        *("--mode=finetune", "--checkpoint=a", "--model_dir=b", cache),
        "--train_batch_size=6",
    )
    assert "Shrinking" not in tuned
    # Scores are computed on the files themselves.
    assert len(shards(tmp_path / "cache")) == 1
    again = printed("--mode=pretrain", "--model_dir=a", "--train_epochs=3")
    told = (
        "training reads the image files, no longer copies shrunk to 16 pixels"
    )
    assert told in again
