"""One image under several names is not its own negative."""

import dataclasses
import json
import math
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr.config.augment import AugmentConfig
from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data import same_image
from tf_simclr.data.batches import TrainingBatches
from tf_simclr.data.same_image import with_equal_found
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.records import write_shard
from tf_simclr.losses.nt_xent import nt_xent
from tf_simclr.losses.queue import EmbeddingQueue
from tf_simclr.modes.execute import run_stage

pytestmark = pytest.mark.usefixtures("one_block")


def png(value: int, side: int = 8) -> bytes:
    return tf.io.encode_png(np.full((side, side, 3), value, np.uint8)).numpy()


def image_set(pixels) -> ImageSet:
    ids = tuple(map(str, range(len(pixels))))
    labels = np.arange(len(pixels), dtype=np.int32)
    return ImageSet("train", pixels, labels, ids, ids)


def opened(dataset, text: str = "") -> ImageSet:
    flags = parse_overrides(text, "flags")
    config = DataConfig(dataset=str(dataset), **flags)
    return with_equal_found(open_dataset(config).train)


@pytest.fixture
def folder(tmp_path) -> pathlib.Path:
    """Three images, the first two of which have the same bytes."""
    (tmp_path / "photos").mkdir()
    for name, value in (("a", 1), ("b", 1), ("c", 3)):
        (tmp_path / "photos" / f"{name}.png").write_bytes(png(value))
    return tmp_path / "photos"


def test_names_of_one_file(folder):
    assert opened(folder).first_equal is None
    os.link(folder / "b.png", folder / "d.png")
    (folder / "e.png").symlink_to(folder / "a.png")
    (folder.parent / "elsewhere.png").write_bytes(png(4))
    (folder / "f.png").symlink_to(folder.parent / "elsewhere.png")
    os.link(folder.parent / "elsewhere.png", folder / "g.png")
    found = opened(folder)
    assert found.ids == tuple(f"{name}.png" for name in "abcdefg")
    assert found.first_equal.tolist() == [0, 1, 2, 1, 0, 5, 5]
    # What is taken of them knows its own places.
    taken = found.take(np.array([6, 4, 3, 5]))
    assert taken.first_equal.tolist() == [0, 1, 2, 0]


def test_a_folder_joined_once_more(folder):
    (folder.parent / "link").symlink_to(folder)
    for name in ("photos", "link", "../" + folder.parent.name + "/photos"):
        again = os.path.join(folder.parent, name)
        found = opened(folder, f"--unlabeled_dataset={again}")
        assert found.first_equal.tolist() == [0, 1, 2, 0, 1, 2]


def test_spellings_in_lists(folder):
    (folder.parent / "link").symlink_to(folder)
    (folder.parent / "soft.png").symlink_to(folder / "b.png")
    first = folder.parent / "first.csv"
    first.write_text("photos/a.png,x\nphotos/b.png,x\nsoft.png,x\n")
    second = folder.parent / "second.csv"
    second.write_text(f"link/c.png\n{folder}/a.png\n")
    assert opened(first).first_equal.tolist() == [0, 1, 1]
    found = opened(first, f"--unlabeled_dataset={second}")
    assert found.first_equal.tolist() == [0, 1, 1, 3, 0]


def test_an_array_twice(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), np.uint8)
    # Alike but for one byte, which is not one of those compared first.
    images[3] = images[1]
    images[3, 4, 4, 1] += 1
    np.savez(tmp_path / "a.npz", x_train=images)
    assert opened(tmp_path / "a.npz").first_equal is None
    images[5] = images[1]
    np.savez(tmp_path / "a.npz", x_train=images)
    found = opened(tmp_path / "a.npz")
    assert found.first_equal.tolist() == [0, 1, 2, 3, 4, 1]
    found = opened(tmp_path / "a.npz", f"--unlabeled_dataset={tmp_path}/a.npz")
    assert found.first_equal.tolist() == 2 * [0, 1, 2, 3, 4, 1]


def test_few_images_in_memory_are_compared_whole(monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (99, 8, 8, 3), np.uint8)
    images[7] = images[3]
    compared, digests = [], same_image._digests

    def noted(array, places):
        compared.extend(places)
        return digests(array, places)

    monkeypatch.setattr(same_image, "_digests", noted)
    found = with_equal_found(image_set(ArrayPixels(images)))
    assert found.first_equal[7] == 3 and compared == [3, 7]


def test_shards_of_two_names(folder):
    shard = folder.parent / "shards" / "train-0.tfrecord"
    shard.parent.mkdir()
    write_shard(str(shard), ((png(i), 0, "") for i in range(3)))
    assert opened(shard.parent).first_equal is None
    found = opened(shard.parent, f"--unlabeled_dataset={shard.parent}")
    assert found.first_equal.tolist() == [0, 1, 2, 0, 1, 2]


def test_files_of_one_name_are_not_looked_at(tmp_path, monkeypatch):
    names = tuple(f"{i % 10}/{i}.png" for i in range(200))
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.link(tmp_path / names[0], tmp_path / "0" / "again.png")
    looks, look = [], os.stat
    monkeypatch.setattr(os, "stat", lambda *a: looks.append(a) or look(*a))
    files = FilePixels(str(tmp_path), (*names, "0/again.png"))
    found = with_equal_found(image_set(files))
    assert found.first_equal[-1] == 0 and len(set(found.first_equal)) == 200
    # Each of ten folders, and both names of one file.
    assert len(looks) == 12


@pytest.mark.parametrize("augment_on", ["host", "device"])
@pytest.mark.parametrize("kind", ["array", "files"])
def test_batches_hold_ids_and_draw_as_before(folder, kind, augment_on):
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    pixels = ArrayPixels(images)
    if kind == "files":
        paths = [str(folder / f"{i}.png") for i in range(4)]
        for path, image in zip(paths, images, strict=True):
            pathlib.Path(path).write_bytes(tf.io.encode_png(image).numpy())
        pixels = FilePixels("", tuple(paths))
    apart = image_set(pixels)
    equal = np.array([0, 1, 0, 1])
    alike = dataclasses.replace(apart, first_equal=equal)
    config = AugmentConfig(color_jitter_strength=0.0, augment_on=augment_on)
    taken = []
    for made_of in (apart, alike):
        batches = TrainingBatches(made_of, config, 8, 0, contrastive=True)
        taken.append([batches.views(b) for b in batches.dataset(4, 0, 2)])
    for plain, told in zip(*taken, strict=True):
        # Labels are the images' numbers here.
        assert np.array_equal(plain["index"], plain["label"])
        assert np.array_equal(told["index"], equal[told["label"]])
        assert told["index"].dtype == tf.int64
        for name in ("label", "view1", "view2"):
            assert np.array_equal(plain[name], told[name])


def level(compared: list[int]) -> float:
    """The loss of anchors whose logits are all equal."""
    return float(np.mean(np.log(compared)))


def test_the_loss_of_equal_embeddings():
    # Of the two anchors of an image that comes twice, each is compared with
    # its positive and both views of the three others.
    ids = tf.constant([0, 1, 2, 0, 4], tf.int64)
    alike = tf.ones([5, 3])
    found = float(nt_xent(alike, alike, ids=ids).loss)
    assert math.isclose(found, level([7, 9, 9, 7, 9]), rel_tol=1e-6)


def test_a_run_on_a_folder_with_a_link(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    # Files of the same bytes are as many images: no embedding can tell them
    # apart, so that the loss is known.
    for index in range(7):
        (photos / f"{index}.png").write_bytes(png(128))
    losses = []
    for name in ("copy", "link"):
        if name == "copy":
            shutil.copy(photos / "2.png", photos / "7.png")
        else:
            (photos / "7.png").unlink()
            (photos / "7.png").symlink_to(photos / "2.png")
        # Norms of such embeddings are rounding errors.
        text = f"{' '.join(tiny.FLAGS)} --train_steps=1 --nohidden_norm"
        flags = parse_overrides(text, "flags") | {"mode": "pretrain"}
        flags |= {"dataset": str(photos), "model_dir": str(tmp_path / name)}
        run_stage(from_flat(flags))
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append(json.loads(lines[0])["contrast_loss"])
    expected = [level([15] * 8), level([15] * 6 + [13] * 2)]
    assert np.allclose(losses, expected, rtol=1e-5)


def test_rows_of_the_queue_on_two_replicas(two_replicas):
    with two_replicas.scope():
        queue = EmbeddingQueue(10, 3)
    # Of five images, 0 comes again as 3; one step after the other.
    first_equal = np.array([0, 1, 2, 0, 4])
    steps = [[0, 1, 2, 4], [3, 1, 4, 2]]

    @tf.function
    def step(ids):
        def on_replica(ids):
            # Of a length of 1, as embeddings in the queue are.
            views = [tf.one_hot([0, 0], 3)] * 2
            rows, filled = queue.read()
            seen = tf.convert_to_tensor(queue.seen.ids)
            queue.put(*views, ids=ids)
            return nt_xent(
                *views, ids=ids, queue=(rows, filled), queue_ids=seen
            ).loss

        return two_replicas.run(on_replica, args=(ids,))

    def losses(places):
        ids = tf.constant(first_equal[places])
        shared = two_replicas.experimental_distribute_values_from_function(
            lambda c: ids[2 * c.replica_id_in_sync_group :][:2]
        )
        return [float(loss) for loss in step(shared).values]

    assert np.allclose(losses(steps[0]), 2 * [math.log(7)])
    # Seven views of the batch, and eight rows but for both of the image.
    assert np.allclose(losses(steps[1]), 2 * [math.log(13)], rtol=1e-5)
