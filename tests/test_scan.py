"""Images that cannot be read are found, each once, whatever they hold."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sys
import threading
import time

import numpy as np
import pictures
import pytest
import tensorflow as tf

from tf_simclr import process
from tf_simclr.config import DataConfig
from tf_simclr.data.bad_images import naming_bad_images
from tf_simclr.data.decode import decode_image, decode_window, read_geometry
from tf_simclr.data.orientation import stored_boxes
from tf_simclr.data.perceptual_hash import perceptual_hashes
from tf_simclr.data.sources import look
from tf_simclr.data.sources.folder import list_folder
from tf_simclr.data.sources.image_list import read_image_list
from tf_simclr.data.sources.look import what_is_wrong
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.records import list_records, write_shard
from tf_simclr.data.sources.scan import scan_source
from tf_simclr.data.transcode import plain
from tf_simclr.errors import DataFailed, UserError


@pytest.fixture(scope="module")
def torture(tmp_path_factory):
    return pictures.write_torture(tmp_path_factory.mktemp("torture"))


def test_the_torture_folder(torture):
    source = scan_source(list_folder(str(torture)))
    assert source.scanned
    assert set(source.splits["train"].ids) == set(pictures.TORTURE)
    expected = {name: why for name, why in pictures.TORTURE.items() if why}
    assert source.bad.keys() == expected.keys()
    for name, why in expected.items():
        assert source.bad[name].startswith(why), name


def test_refusing_names_each_bad_image_once(torture):
    with pytest.raises(UserError, match="--bad_images=skip") as caught:
        open_dataset(DataConfig(dataset=str(torture)))
    message = str(caught.value)
    for name, why in pictures.TORTURE.items():
        assert message.count(name) == (1 if why else 0), name
    assert message.startswith("7 of the 17 images of ")


def test_skipping_leaves_the_others(torture):
    config = DataConfig(
        dataset=str(torture), bad_images="skip", bad_images_max_share=0.5
    )
    splits = open_dataset(config)
    good = [name for name, why in pictures.TORTURE.items() if not why]
    assert sorted(splits.train.ids) == good
    assert "skipped 7 of 17 images" in splits.notices[-1]


def test_skipping_too_many_is_refused(torture):
    config = DataConfig(dataset=str(torture), bad_images="skip")
    with pytest.raises(UserError, match="--bad_images_max_share=0.1: "):
        open_dataset(config)


def test_thousands_of_damaged_files(capfd):
    """Images that pass are decoded by training: as a whole and in part."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def decodes(encoded):
        encoded = plain(encoded)
        geometry = read_geometry(encoded)
        size = geometry[:2]
        window = tf.concat([size // 3, tf.maximum(size // 2, 1)], axis=0)
        stored = stored_boxes(window[None], size[None], geometry[2:])[0]
        part = decode_window(encoded, stored, geometry[2])
        whole = tf.shape(decode_image(encoded))
        return tf.reduce_all(whole[:2] == size) & tf.reduce_all(
            tf.shape(part)[:2] == window[2:]
        )

    damaged = pictures.mutated(5000)
    passed = [data for data in damaged if not what_is_wrong(data)]
    assert 500 < len(passed) < 2500
    assert all(decodes(tf.constant(data)) for data in passed)
    # What libjpeg prints about them.
    capfd.readouterr()


def test_nothing_is_printed_about_damage(tmp_path, capfd):
    for number, data in enumerate(pictures.mutated(200)):
        (tmp_path / f"{number}.jpg").write_bytes(data)
    source = scan_source(list_folder(str(tmp_path)))
    assert 100 < len(source.bad) < 200
    assert capfd.readouterr() == ("", "")


def test_large_images_are_decoded_one_at_a_time(monkeypatch):
    """A scan's memory is that of one large image, whatever the threads."""
    running, most = [], []

    def decode(data):
        running.append(data)
        most.append(len(running))
        time.sleep(0.01)
        running.pop()
        return tf.zeros([1, 1, 3], tf.uint8)

    monkeypatch.setattr(look, "_decoder", lambda: decode)
    data = pictures.encode(pictures.tile(0), "PNG")
    threads = [
        threading.Thread(target=what_is_wrong, args=(data, 100))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_listed_files_that_are_no_files(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "large.jpg").touch()
    os.truncate(tmp_path / "large.jpg", 2**28 + 1)
    path = tmp_path / "list.csv"
    path.write_text("gone.jpg\nfolder\npipe.jpg\nlarge.jpg\n")
    assert scan_source(read_image_list(str(path))).bad == {
        "gone.jpg": "does not exist",
        "folder": "is no file",
        "pipe.jpg": "is no file",
        "large.jpg": "is 268,435,457 bytes large",
    }


def test_images_in_shards(tmp_path):
    good = pictures.encode(pictures.tile(0), "PNG")
    shard = tmp_path / "a.tfrecord"
    write_shard(str(shard), [(good, 0, ""), (good[:99], 0, ""), (good, 0, "")])
    source = scan_source(list_records(str(tmp_path)))
    assert source.bad == {"a.tfrecord/1": "is damaged or cut off (PNG)"}


def test_a_file_that_was_mended_in_place_is_looked_at_again(tmp_path):
    process.release()
    pictures.write_photos(tmp_path, {"": 3})
    path = tmp_path / "001.PNG"
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    config = DataConfig(dataset=str(tmp_path))
    with pytest.raises(UserError, match=re.escape("001.PNG is damaged")):
        open_dataset(config)
    path.write_bytes(whole)
    assert len(open_dataset(config).train) == 3


def test_a_file_that_breaks_later_is_named(tmp_path):
    pictures.write_photos(tmp_path, {"": 3})
    images = open_dataset(DataConfig(dataset=str(tmp_path))).train
    path = tmp_path / "001.PNG"
    path.unlink()
    with (
        pytest.raises(DataFailed, match=f"^{re.escape(str(path))} does not"),
        naming_bad_images(None, images),
    ):
        images.pixels.encoded(tf.constant(1))
    other = dataclasses.replace(images.take(np.array([0])))
    # Nothing is wrong with the images: the error is another one.
    with (
        pytest.raises(tf.errors.NotFoundError),
        naming_bad_images(other),
    ):
        images.pixels.encoded(tf.constant(1))


def test_images_that_are_damaged_but_decoded_are_named(tmp_path):
    """And their decoder does not fill the screen while a run trains on them."""
    good = pictures.encode(pictures.tile(0), "JPEG")
    # Bytes in front of the last marker: libjpeg warns and goes on.
    odd = good[:-2] + b"\0" * 50 + good[-2:]
    for name, data in (("a.jpg", good), ("b.jpg", odd), ("c.jpg", odd)):
        (tmp_path / name).write_bytes(data)
    source = scan_source(list_folder(str(tmp_path)))
    assert source.bad == {} and source.survey.warned == 2
    (notice,) = source.notices
    assert (
        notice
        == "images that are damaged, but can be decoded: 2 (b.jpg, c.jpg)"
    )
    program = (
        "import sys, os, tf_simclr, tensorflow as tf\n"
        "from tf_simclr.config import DataConfig\n"
        "from tf_simclr.data.sources.open import open_dataset\n"
        "from tf_simclr.data.array_batches import decoded_images\n"
        "train = open_dataset(DataConfig(dataset=sys.argv[1])).train\n"
        "print(len(list(decoded_images(train))))\n"
        "print('a word of its own', file=sys.stderr)\n"
        "os.abort()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=pathlib.Path(__file__).parent.parent,
    )
    # After a line about progress, on a busy machine.
    assert done.stdout.endswith("3\n")
    assert "a word of its own" in done.stderr
    assert "Corrupt JPEG data" not in done.stderr


def small_files() -> dict[str, bytes]:
    """PNG and JPEG files of several sizes, colors and depths."""
    rng = np.random.default_rng(0)
    files = {}
    for number, (height, width) in enumerate([(32, 40), (40, 32), (5, 7)] * 3):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        encoded = (
            tf.io.encode_jpeg(image) if number % 2 else tf.io.encode_png(image)
        )
        files[f"{number}.img"] = encoded.numpy()
    gray = tf.io.encode_png(rng.integers(0, 256, (33, 33, 1), np.uint8))
    return {**files, "gray.img": gray.numpy()}


def test_small_files_are_looked_at_together():
    """As one by one: findings and pixels."""
    files = small_files()
    assert all(look.is_small(data) for data in files.values())
    together, alone = {}, {}

    def seen(places, images):
        together.update(zip(places.tolist(), images, strict=True))

    looks = look.look_at_small([*files.values()], seen)
    for place, (data, found) in enumerate(
        zip(files.values(), looks, strict=True)
    ):
        one = look.look_at(
            data, seen=lambda image, place=place: alone.update({place: image})
        )
        assert dataclasses.asdict(found) == dataclasses.asdict(one)
        assert np.array_equal(together[place], alone[place])


def test_files_that_need_more_are_no_small_ones():
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 2**16, (9, 9, 3), np.uint16)
    clear = rng.integers(0, 256, (9, 9, 4), np.uint8)
    large = np.zeros([300, 300, 3], np.uint8)
    for image in (deep, clear, large):
        assert not look.is_small(tf.io.encode_png(image).numpy())
    for data in (b"", b"\x89PNG\r\n\x1a\n", b"no image", b"\xff\xd8\xff"):
        assert not look.is_small(data)


def test_one_damaged_file_among_small_ones(tmp_path):
    files = small_files()
    cut = dict(files)
    cut["3.img"] = cut["3.img"][:-30]
    cut["4.img"] = cut["4.img"][: len(cut["4.img"]) // 2]
    for name, data in cut.items():
        path = tmp_path / pathlib.Path(name).with_suffix(
            ".png" if data[1:4] == b"PNG" else ".jpg"
        )
        path.write_bytes(data)
    found = scan_source(list_folder(str(tmp_path)), hashes=True)
    assert sorted(found.bad) == ["3.jpg", "4.png"]
    assert all("damaged or cut off" in why for why in found.bad.values())
    # The others have what they would have without the damaged ones.
    images = found.splits["train"]
    for index, name in enumerate(images.ids):
        if name in found.bad:
            continue
        data = cut[pathlib.Path(name).stem + ".img"]
        assert images.digests[index] == look.content_digest(data)
        pixels = decode_image(tf.constant(data)).numpy()
        expected = perceptual_hashes(pixels[np.newaxis])[0]
        assert np.array_equal(images.hashes[index], expected)
