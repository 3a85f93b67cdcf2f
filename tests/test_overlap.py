"""Evaluation images that a network has seen: found, counted and said."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

from tf_simclr.config.data import DataConfig
from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.data.same_image import (
    Overlap,
    find_overlap,
    overlap_notice,
    same_images,
)
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import Splits, open_dataset
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.records import write_shard
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.modes.evaluate import evaluate
from tf_simclr.modes.finetune import finetune
from tf_simclr.modes.pretrain import pretrain
from tf_simclr.report.pipeline_text import run_card
from tf_simclr.weights.export.folder import Exportable
from tf_simclr.weights.export.model_card import model_card

pytestmark = pytest.mark.usefixtures("one_block")


@pytest.fixture(scope="module")
def npz(tmp_path_factory) -> str:
    """24 training and 7 test images."""
    return tiny.write_npz(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Four images of each of two classes."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (root / name).mkdir()
        for index in range(4):
            image = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            png = tf.io.encode_png(image).numpy()
            (root / name / f"{index}.png").write_bytes(png)
    return root


def opened(dataset, text: str = "") -> Splits:
    flags = parse_overrides(text, "flags")
    return open_dataset(DataConfig(dataset=str(dataset), **flags))


def seen(splits: Splits) -> tuple[int, int]:
    """(evaluation images, those among the training images)."""
    found = find_overlap(splits.evaluation, splits.train)
    return found.evaluated, found.trained


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", (7, 0)),
        ("--eval_split=train", (24, 24)),
        ("--eval_split=train[75%:]", (6, 6)),
        ("--train_split=train[:75%] --eval_split=train[75%:]", (6, 0)),
        ("--train_split=train[:20] --eval_split=train[10:]", (14, 10)),
    ],
)
def test_slices_of_arrays(npz, text, expected):
    assert seen(opened(npz, text)) == expected


def test_arrays_that_joined_are_compared_by_their_pixels(npz, tmp_path):
    same = opened(npz, f"--unlabeled_dataset={npz}")
    copy = shutil.copy(npz, tmp_path / "other.npz")
    copied = opened(npz, f"--unlabeled_dataset={copy}")
    for splits in (same, copied):
        found = find_overlap(splits.evaluation, splits.train)
        assert found == Overlap(7, 7, 0)
    # Of one name, and not one image the same.
    with np.load(npz) as archive:
        arrays = {name: archive[name] for name in archive.files}
    (tmp_path / "other").mkdir()
    for name in ("x_train", "x_test"):
        arrays[name] = 255 - arrays[name]
    np.savez(tmp_path / "other" / "tiny.npz", **arrays)
    others = opened(tmp_path / "other" / "tiny.npz")
    known = opened(npz).evaluation
    assert not len(same_images(known, others.evaluation, by_id=False))
    assert len(same_images(known, known, by_id=False)) == 7


def test_a_folder_and_its_images_again(folder):
    cut = "--eval_fraction=0.25"
    assert seen(opened(folder, cut)) == (2, 0)
    splits = opened(folder, f"{cut} --unlabeled_dataset={folder}")
    assert find_overlap(splits.evaluation, splits.train) == Overlap(2, 2, 0)


def test_one_file_under_several_names(folder, tmp_path):
    """Links of files and folders, hard links, other spellings, lists."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    shutil.copy(folder / "ant" / "0.png", tmp_path / "copy.png")
    os.link(folder / "ant" / "1.png", tmp_path / "hard.png")
    (tmp_path / "soft.png").symlink_to(folder / "ant" / "2.png")
    (tmp_path / "list.csv").write_text(
        f"{folder}/ant/0.png,ant,train\n"
        f"{folder}/ant/1.png,ant,train\n"
        f"{folder}/ant/2.png,ant,train\n"
        f"{folder}/bee/0.png,bee,train\n"
        f"{folder}/bee/1.png,bee,train\n"
        "copy.png,ant,test\n"
        "hard.png,ant,test\n"
        "soft.png,ant,test\n"
        "link/bee/0.png,bee,test\n"
        f"{os.path.relpath(folder, tmp_path)}/bee/1.png,bee,test\n"
        "link/bee/3.png,bee,test\n"
    )
    splits = opened(tmp_path / "list.csv")
    pairs = same_images(splits.evaluation, splits.train)
    assert sorted(map(tuple, pairs)) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    joined = opened(
        tmp_path / "list.csv", f"--unlabeled_dataset={tmp_path}/link"
    )
    assert seen(joined) == (6, 5)


def test_examples_of_shards(folder, tmp_path):
    data = [path.read_bytes() for path in sorted(folder.glob("*/*.png"))]
    for split in ("train", "test"):
        path = str(tmp_path / f"{split}-0.tfrecord")
        write_shard(path, ((image, i % 2, "") for i, image in enumerate(data)))
    assert seen(opened(tmp_path)) == (8, 0)
    assert seen(opened(tmp_path, "--eval_split=train[2:5]")) == (3, 3)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "dev.tfrecord").symlink_to(
        tmp_path / "test-0.tfrecord"
    )
    text = f"--unlabeled_dataset={tmp_path}/again"
    assert seen(opened(tmp_path, text)) == (8, 8)


def test_training_files_are_not_looked_at_one_by_one(tmp_path, monkeypatch):
    """That would be a round trip for each of a million, on a file server."""
    names = tuple(f"{i % 1000}/{i}.png" for i in range(200_000))
    labels = np.zeros(len(names), np.int32)
    files = FilePixels(str(tmp_path), names)
    train = ImageSet("train", files, labels, ("a",), names)
    places = np.arange(0, len(names), 10)
    looks, look = [], os.stat
    monkeypatch.setattr(os, "stat", lambda *a: looks.append(a) or look(*a))
    found = find_overlap(train.take(places), train)
    assert found == Overlap(20_000, 20_000, 20_000)
    assert len(looks) == len(places)


def test_images_without_a_label_are_not_scored():
    pixels = ArrayPixels(np.zeros([3, 2, 2, 3], np.uint8))
    labels = np.array([0, -1, 1], np.int32)
    images = ImageSet("test", pixels, labels, ("a", "b"), ("x", "y", "z"))
    bare = images.with_labels(np.full(3, -1, np.int32))
    assert find_overlap(images, bare) == Overlap(2, 2, 0)
    assert find_overlap(images, images) == Overlap(2, 2, 2)
    assert find_overlap(bare, images) is find_overlap(None, images) is None


def test_notices():
    assert Overlap(7, 0, 0).notice() == ""
    assert Overlap(7, 3, 0).notice() == (
        "3 of the 7 evaluation images are also among the training images,"
        " without their labels (transductive)"
    )
    assert Overlap(7, 3, 3).notice() == (
        "3 of the 7 evaluation images were trained on with their labels: the"
        " score is not of unseen images"
    )
    assert "trained on with their labels, 1,200 more without: " in (
        Overlap(9000, 1300, 100).notice()
    )
    # Runs of before have no such count.
    assert overlap_notice({"derived": {}}) == overlap_notice({}) == ""


def run(stage, model_dir, dataset: str, text: str) -> str:
    """Trains; returns `evaluation.md`."""
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    flags |= {"model_dir": str(model_dir), "dataset": dataset}
    config = from_flat({**flags, "mode": stage.__name__})
    config.check()
    stage(config)
    return (model_dir / "evaluation.md").read_text()


def test_a_run_says_what_its_score_is_of(npz, tmp_path, capsys):
    text = "--train_steps=1 --labels_per_class=2 --train_batch_size=6"
    text += " --eval_split=train"
    notice = (
        "6 of the 24 evaluation images were trained on with their labels: the"
        " score is not of unseen images"
    )
    found = run(finetune, tmp_path, npz, f"--from_scratch {text}")
    assert f"**{notice}**" in found
    assert f"  overlap    {notice}" in capsys.readouterr().out
    record = json.loads((tmp_path / "config.json").read_text())
    assert overlap_notice(record) == notice
    assert Overlap(**record["derived"]["overlap"]) == Overlap(24, 6, 6)
    scores = {"eval/label_top_1_accuracy": 1.0}
    network = build_network(Architecture.from_json(record["architecture"]), 8)
    source = Exportable(network, record, 1, scores)
    assert f"**{notice}**" in model_card(source, "saved_model")
    assert notice in run_card(record, scores)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory, npz) -> pathlib.Path:
    """On 18 of the 24 images, 6 with labels, and on all without labels."""
    folder = tmp_path_factory.mktemp("pretrained")
    text = "--train_steps=1 --labels_per_class=2 --train_split=train[:18]"
    found = run(pretrain, folder, npz, f"{text} --unlabeled_dataset={npz}")
    assert "**7 of the 7 evaluation images are also among" in found
    assert "(transductive)" in found
    return folder


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "**7 of the 7 evaluation images are also among"),
        (
            "--eval_split=train --train_split=train",
            "**6 of the 24 evaluation images were trained on with their"
            " labels, 18 more without: the score is not of unseen images**",
        ),
        # Neighbours have their labels from these flags.
        (
            "--eval_split=train[:12] --train_split=train --labels_per_class=8",
            "**12 of the 12 evaluation images were trained on with",
        ),
    ],
)
def test_evaluation_is_compared_with_what_the_run_trained_on(
    npz, pretrained, tmp_path, capsys, text, expected
):
    flags = parse_overrides(text, "flags")
    flags |= {"mode": "eval", "checkpoint": str(pretrained)}
    evaluate(from_flat({**flags, "model_dir": str(tmp_path)}))
    assert expected in (tmp_path / "evaluation.md").read_text()
    assert expected.strip("*") in capsys.readouterr().out


def test_a_cut_of_a_run_that_trained_on_all(folder, tmp_path):
    run_dir, text = tmp_path / "run", "--from_scratch --train_steps=1"
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    flags |= {"dataset": str(folder), "mode": "finetune"}
    finetune(from_flat({**flags, "model_dir": str(run_dir)}))
    scored = tmp_path / "scored"
    flags = {"mode": "eval", "checkpoint": str(run_dir), "eval_fraction": 0.5}
    config = from_flat({**flags, "model_dir": str(scored)})
    notice = "**4 of the 4 evaluation images were trained on with their labels:"
    evaluate(config)
    assert notice in (scored / "evaluation.md").read_text()
    # Another name of the folder; and then the run's own one has gone.
    (tmp_path / "link").symlink_to(folder)
    evaluate(from_flat({"dataset": str(tmp_path / "link")}, config))
    assert notice in (scored / "evaluation.md").read_text()
    record = json.loads((run_dir / "config.json").read_text())
    record["config"]["dataset"] = str(tmp_path / "gone")
    (run_dir / "config.json").write_text(json.dumps(record))
    evaluate(from_flat({"dataset": str(tmp_path / "link")}, config))
    assert "**not compared with the images that were trained on" in (
        (scored / "evaluation.md").read_text()
    )
