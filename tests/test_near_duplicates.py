"""Evaluation images that look like training images; groups against them."""

import csv
import functools
import pathlib

import numpy as np
import pictures
import pytest
import tiny

from tf_simclr import process
from tf_simclr.config import DataConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data.near_duplicates import (
    NearDuplicates,
    find_near_duplicates,
    nearest_hashes,
)
from tf_simclr.data.perceptual_hash import MIN_SIMILARITY, perceptual_hashes
from tf_simclr.data.sources.folder import list_folder
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.index import read_index, write_index
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.data.sources.records import list_records, write_shard
from tf_simclr.data.sources.scan import scan_source
from tf_simclr.modes.evaluate import evaluate
from tf_simclr.modes.execute import run_stage

pytestmark = pytest.mark.usefixtures("one_block")

ORIGINALS, COPIES, SIDE = 20, 10, 64


@functools.cache
def jittered() -> np.ndarray:
    """uint8 (20, 10, 64, 64, 3): copies of made-up pictures, each one brighter
    or darker, noisy, and moved by up to a pixel."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(20, 235, (ORIGINALS, 6, 6, 3))
    # Thirteen pixels for each, blurred.
    large = coarse.repeat(13, axis=1).repeat(13, axis=2)
    for axis in (1, 2):
        large = sum(np.roll(large, step, axis) for step in range(-4, 5)) / 9
    found = []
    for picture in large:
        for _ in range(COPIES):
            y, x = rng.integers(5, 7, 2)
            copy = picture[y : y + SIDE, x : x + SIDE]
            copy = copy * rng.uniform(0.85, 1.1) + rng.uniform(-8, 8)
            copy = copy + rng.normal(0, 2, copy.shape)
            found.append(np.clip(copy, 0, 255).astype(np.uint8))
    shape = (ORIGINALS, COPIES, SIDE, SIDE, 3)
    return np.stack(found).reshape(shape)


@pytest.fixture(scope="module")
def copies(tmp_path_factory) -> pathlib.Path:
    """A folder of the 200 copies, ORIGINAL-COPY.png."""
    root = tmp_path_factory.mktemp("copies")
    for number, pixels in enumerate(jittered()):
        for copy, each in enumerate(pixels):
            name = f"{number:02}-{copy}.png"
            (root / name).write_bytes(pictures.encode(each, "PNG"))
    return root


def write_list(copies: pathlib.Path, seed: int) -> str:
    """A table of the copies: each original has a random class of two."""
    labels = np.random.default_rng(seed).permutation(np.arange(ORIGINALS) % 2)
    path = copies / f"labels-{seed}.csv"
    path.write_text(
        "path,label,original\n"
        + "".join(
            f"{number:02}-{copy}.png,{'ab'[labels[number]]},o{number}\n"
            for number in range(ORIGINALS)
            for copy in range(COPIES)
        )
    )
    return str(path)


def neighbour_accuracy(train: ImageSet, test: ImageSet) -> float:
    """Share of images whose nearest training image is of their class."""
    array = jittered()[..., ::4, ::4, :].astype(np.float32)
    array = array.reshape(ORIGINALS * COPIES, -1)

    def pixels(images: ImageSet) -> np.ndarray:
        places = [int(n[:2]) * COPIES + int(n[3:-4]) for n in images.ids]
        return array[places]

    first, second = pixels(test), pixels(train)
    apart = (second**2).sum(
        axis=1
    ) - 2 * first @ second.T  # But for what is the same for all.
    return float(np.mean(train.labels[apart.argmin(axis=1)] == test.labels))


def test_copies_score_by_chance_in_groups_and_are_told_without(copies):
    """Of random labels, nothing can be learned but which copies are one."""
    scores = {"column:original": [], "none": []}
    for seed in range(40):
        path = write_list(copies, seed)
        for group_by, found in scores.items():
            splits = open_dataset(
                DataConfig(
                    dataset=path,
                    eval_fraction=0.3,
                    group_by=group_by,
                    scan_images=False,
                )
            )
            found.append(neighbour_accuracy(splits.train, splits.evaluation))
    assert np.mean(scores["none"]) > 0.99
    # 240 groups are scored: 0.5 within three standard deviations.
    assert abs(np.mean(scores["column:original"]) - 0.5) < 0.1, scores

    def looked(group_by: str) -> NearDuplicates:
        config = DataConfig(
            dataset=write_list(copies, 0), eval_fraction=0.3, group_by=group_by
        )
        return open_dataset(config).with_duplicates(config).duplicates

    assert looked("column:original") == NearDuplicates(60)
    found = looked("none")
    assert found.evaluated == 60
    assert len(found.rows) >= 55
    # Each by a copy of its own original.
    assert all(first[:2] == second[:2] for first, second, *_ in found.rows)


def run(mode: str, model_dir: pathlib.Path, dataset: str, text: str) -> None:
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    flags |= {"model_dir": str(model_dir), "dataset": dataset, "mode": mode}
    config = from_flat(flags)
    config.check()
    run_stage(config)


def test_a_run_and_an_evaluation_list_them(copies, tmp_path, capsys):
    dataset, text = write_list(copies, 0), "--from_scratch --train_steps=1"
    run("finetune", tmp_path / "run", dataset, f"{text} --eval_fraction=0.3")
    said = capsys.readouterr().out
    with open(tmp_path / "run" / "duplicates.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        f"{len(rows)} of 60 evaluation images look like training images"
        " (duplicates.csv)" in said
    )
    assert list(rows[0]) == [
        *("evaluation_image", "training_image", "similarity"),
        *("evaluation_label", "training_label"),
    ]
    assert all(float(row["similarity"]) >= MIN_SIMILARITY for row in rows)
    assert {row["evaluation_label"] for row in rows} == {"a", "b"}
    # Another process finds the hashes in the index.
    process.release()
    flags = {"mode": "eval", "checkpoint": str(tmp_path / "run")}
    scored = tmp_path / "scored"
    evaluate(from_flat({**flags, "model_dir": str(scored)}))
    first, second = (
        (tmp_path / name / "duplicates.csv").read_text()
        for name in ("run", "scored")
    )
    assert first == second
    assert "evaluation images look like" in capsys.readouterr().out
    # With another part, none of an earlier evaluation are left.
    flags["find_duplicates"] = False
    evaluate(from_flat({**flags, "model_dir": str(tmp_path / "other")}))
    assert not (tmp_path / "other" / "duplicates.csv").exists()


def test_images_of_shards_are_hashed(copies, tmp_path):
    data = [path.read_bytes() for path in sorted(copies.glob("0[01]-*.png"))]
    write_shard(str(tmp_path / "a.tfrecord"), [(each, 0, "") for each in data])
    [images] = scan_source(
        list_records(str(tmp_path)), hashes=True
    ).splits.values()
    expected = perceptual_hashes(jittered()[:2].reshape(-1, SIDE, SIDE, 3))
    assert np.array_equal(images.hashes, expected)


def test_an_index_keeps_the_hashes(copies, tmp_path):
    source = list_folder(str(copies))
    assert scan_source(source).splits["train"].hashes is None
    source = scan_source(source, hashes=True)
    write_index(str(tmp_path / "index.npz"), "key", source)
    found = read_index(str(tmp_path / "index.npz"), "key")
    assert found.hashed
    images = found.splits["train"]
    assert np.array_equal(images.hashes, source.splits["train"].hashes)
    # They go with their images.
    places = np.array([7, 3])
    assert np.array_equal(images.take(places).hashes, images.hashes[places])


def test_an_index_of_before_is_not_scanned_again(copies, tmp_path):
    process.release()
    flags = {"dataset": write_list(copies, 1), "eval_fraction": 0.3}
    config = DataConfig(**flags, find_duplicates=False)
    open_dataset(config, [str(tmp_path)]).write(str(tmp_path), [str(tmp_path)])
    process.release()
    config = DataConfig(**flags)
    splits = open_dataset(config, [str(tmp_path)]).with_duplicates(config)
    assert splits.duplicates is None
    assert "--refresh_index computes them" in splits.notices[-1]
    config = DataConfig(**flags, refresh_index=True)
    splits = open_dataset(config, [str(tmp_path)]).with_duplicates(config)
    assert splits.duplicates.rows


def in_memory(array: np.ndarray, ids, labels) -> ImageSet:
    labels = np.array(labels, np.int32)
    return ImageSet("x", ArrayPixels(array), labels, ("a", "b"), tuple(ids))


def test_images_in_memory_labels_and_ids():
    images = jittered()[:, 0]
    train = in_memory(images, map(str, range(20)), [0, 1] * 9 + [-1] * 2)
    test = in_memory(images // 2 + 50, map(str, range(15, 35)), [1] * 19 + [-1])
    found = find_near_duplicates(test, train, by_id=False)
    assert found.evaluated == 19
    assert [row[1] for row in found.rows] == list(map(str, range(19)))
    assert found.rows[0][3:] == ("b", "a")
    assert found.rows[18][3:] == ("b", "")
    # Those that are training images themselves are counted elsewhere.
    found = find_near_duplicates(test, train)
    assert [row[0] for row in found.rows] == list(map(str, range(20, 34)))
    assert find_near_duplicates(None, train) is None
    bare = test.with_labels(np.full(20, -1, np.int32))
    assert find_near_duplicates(bare, train) is None


def test_a_search_in_order_finds_what_a_comparison_of_all_finds():
    rng = np.random.default_rng(0)
    second = rng.integers(-127, 128, (3000, 63)).astype(np.int8)
    first = rng.integers(-127, 128, (400, 63)).astype(np.int8)
    noise = rng.normal(0, 1, (200, 63)) * rng.uniform(0, 25, (200, 1))
    first[:200] = np.clip(second[1000:1200] + noise, -127, 127)
    units = [
        x / np.linalg.norm(x.astype(float), axis=1)[:, None]
        for x in (first, second)
    ]
    cosines = units[0] @ units[1].T
    expected = np.where(
        cosines.max(axis=1) >= MIN_SIMILARITY, cosines.argmax(axis=1), -1
    )
    assert 50 < np.sum(expected >= 0) < 200
    for at_a_time in ((256, 2**14), (7, 50)):
        nearest, found = nearest_hashes(first, second, at_a_time)
        assert np.array_equal(nearest, expected)
        near = nearest >= 0
        assert np.allclose(found[near], cosines.max(axis=1)[near], atol=1e-5)
    nothing = np.zeros([0, 63], np.int8)
    assert nearest_hashes(first, nothing)[0].max() == -1
    assert nearest_hashes(nothing, second)[0].tolist() == []


def test_notices_and_files(tmp_path):
    row = ("x", "y", 0.99, "a", "")
    assert NearDuplicates(5).notice() == ""
    assert NearDuplicates(5, (row,)).notice() == (
        "1 of 5 evaluation images looks like a training image (duplicates.csv)"
    )
    path = tmp_path / "duplicates.csv"
    NearDuplicates(5, (row,)).write(str(path))
    assert path.read_bytes().splitlines()[1] == b"x,y,0.99,a,"
    NearDuplicates(5).write(str(path))
    assert not path.exists()
    NearDuplicates(5).write(str(path))


def test_of_very_many_images_a_sample_is_compared():
    pictures_of = jittered().reshape(-1, SIDE, SIDE, 3)
    half = len(pictures_of) // 2

    def image_set(name, array):
        ids = tuple(f"{name}/{number}" for number in range(len(array)))
        labels = np.zeros(len(array), np.int32)
        return ImageSet(name, ArrayPixels(array), labels, ("a",), ids)

    # Every second copy, so that each has its like on the other side.
    evaluation = image_set("test", pictures_of[::2])
    training = image_set("train", pictures_of[1::2])
    whole = find_near_duplicates(evaluation, training)
    assert (whole.evaluated, whole.sampled) == (half, False)
    found = find_near_duplicates(evaluation, training, most_pairs=30 * half)
    assert (found.evaluated, found.sampled) == (30, True)
    assert set(found.rows) < set(whole.rows)
    assert "of a sample of 30 evaluation images" in found.notice()
