"""A user's own folder, from the command line to the files of the run."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pictures
import pytest
import tiny

from tf_simclr import cli, process
from tf_simclr.config import DataConfig
from tf_simclr.data.sources import open as kinds
from tf_simclr.data.sources.open import open_dataset

pytestmark = pytest.mark.usefixtures("one_block")


def command(capfd, *arguments) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `run.py`."""
    code = cli.main(["run.py", *map(str, arguments)])
    output, errors = capfd.readouterr()
    return code, output, errors


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> pathlib.Path:
    """36 photographs in two classes, and six in none."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    return pictures.write_photos(folder, {"cat": 18, "dog": 18, "unlabeled": 6})


def mistakes(folder: pathlib.Path, photos: pathlib.Path):
    """(flags, what the message says) of what can be wrong with the data."""
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").touch()
    damaged = pictures.write_photos(folder / "damaged", {"": 12})
    (damaged / "011.gif").write_bytes(b"no image")
    (folder / "ids.txt").write_text("cat/000.jpg\ncat/999.jpg\n")
    (folder / "list.csv").write_text("photo of,is\na.jpg,cat\n")
    return [
        ([f"--dataset={folder / 'none'}"], "there is no such folder or file"),
        ([f"--dataset={folder / 'empty'}"], "Found: nothing"),
        ([f"--dataset={folder / 'texts'}"], "Found: 1 other file (1 .txt)"),
        ([f"--dataset={folder / 'list.csv'}"], "Received: photo of, is"),
        (
            [f"--dataset={damaged}"],
            "011.gif is no image of a known format. Mend or remove",
        ),
        (
            [
                f"--dataset={damaged}",
                "--bad_images=skip",
                "--bad_images_max_share=0.01",
            ],
            "--bad_images_max_share=0.01: 011.gif is no",
        ),
        (
            [f"--dataset={photos}", f"--label_ids={folder / 'ids.txt'}"],
            "cat/999.jpg",
        ),
        (
            [f"--dataset={photos}", "--eval_fraction=0.95"],
            "--eval_fraction must be at most 0.9",
        ),
        (
            [f"--dataset={photos}", "--unlabeled_dataset=digits"],
            "must both be folders",
        ),
    ]


def test_mistakes_are_one_sentence_and_write_nothing(tmp_path, photos, capfd):
    model_dir = tmp_path / "run"
    for flags, message in mistakes(tmp_path, photos):
        code, _, errors = command(
            capfd,
            "--mode=pretrain",
            *tiny.FLAGS,
            f"--model_dir={model_dir}",
            *flags,
        )
        assert code == 2, flags
        assert message in errors, flags
        assert len(errors.splitlines()) == 1, errors
        assert not model_dir.exists()


def test_the_photographs_of_the_readme(tmp_path):
    folder = tmp_path / "photos"
    script = tiny.ROOT / "benchmarks" / "accuracy" / "make_photos.py"
    subprocess.run(
        [sys.executable, script, folder, "--per_class=8"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    train = open_dataset(DataConfig(dataset=str(folder))).train
    assert np.bincount(train.labels).tolist() == [8] * 6
    endings = {name.rpartition(".")[2] for name in train.ids}
    assert endings == {"jpg", "JPG", "jpeg", "png", "webp", "gif", "bmp"}


@pytest.mark.slow
def test_pretraining_on_a_torture_folder_without_any_label(tmp_path):
    photos = pictures.write_torture(tmp_path / "photos")
    # Inside the folder of images, where its files are no images.
    model_dir = photos / "runs" / "first"
    result = tiny.run(
        "--mode=pretrain",
        f"--dataset={photos}",
        "--bad_images=skip",
        "--bad_images_max_share=0.5",
        *tiny.FLAGS,
        f"--model_dir={model_dir}",
    )
    assert result.returncode == 0, result.stderr
    assert "probes     none: no labels to score with" in result.stdout
    assert "skipped 7 of 17 images" in result.stdout
    assert result.stdout.endswith("pretrain done at step 3.\n")
    bad = json.loads((model_dir / "bad_images.json").read_text())
    assert bad["count"] == 7
    expected = {name for name, why in pictures.TORTURE.items() if why}
    assert set(bad["images"]) == expected
    assert len(list(model_dir.glob("index-*.npz"))) == 1
    assert not (model_dir / "labels.json").exists()
    found = json.loads((model_dir / "result.json").read_text())
    assert list(found) == ["global_step"]


@pytest.mark.slow
def test_two_stages_on_a_folder(tmp_path, photos, capfd, monkeypatch):
    common = [f"--dataset={photos}", *tiny.FLAGS, "--train_epochs=1"]
    cut = "--eval_fraction=0.25"
    pretrained, teacher = tmp_path / "pretrained", tmp_path / "teacher"
    code, output, _ = command(
        capfd,
        "--mode=pretrain",
        *common,
        cut,
        "--labels_per_class=5",
        f"--model_dir={pretrained}",
    )
    assert code == 0
    assert [line.split() for line in output.splitlines()[:4]] == [
        ["class", "images", "labelled"],
        ["cat", "13", "5"],
        ["dog", "13", "5"],
        ["unlabelled", "6", "0"],
    ]
    assert "10 to evaluate on" in output
    labels = json.loads((pretrained / "labels.json").read_text())
    assert labels["class_names"] == ["cat", "dog"]
    assert labels["count"] == 10
    # Another process, which finds the index of the run it starts from.
    process.release()
    monkeypatch.setattr(kinds, "list_folder", None)
    code, _, errors = command(
        capfd,
        "--mode=finetune",
        *common,
        cut,
        f"--checkpoint={pretrained}",
        f"--label_ids={pretrained / 'labels.json'}",
        f"--model_dir={teacher}",
    )
    assert code == 0, errors
    (index,) = teacher.glob("index-*.npz")
    assert index.read_bytes() == (pretrained / index.name).read_bytes()
    other = json.loads((teacher / "labels.json").read_text())
    assert other["ids"] == labels["ids"]
    result = json.loads((teacher / "result.json").read_text())
    assert 0 <= result["eval/label_top_1_accuracy"] <= 1


@pytest.mark.slow
def test_a_file_that_breaks_later_ends_the_run_in_one_sentence(tmp_path, capfd):
    folder = tmp_path / "photos"
    pictures.write_photos(folder, {"": 12})
    model_dir = tmp_path / "run"
    flags = [
        "--mode=pretrain",
        f"--dataset={folder}",
        *tiny.NETWORK,
        "--train_batch_size=4",
        "--warmup_epochs=0",
        f"--model_dir={model_dir}",
    ]
    assert command(capfd, *flags, "--train_steps=3")[0] == 0
    gone = folder / "005.PNG"
    gone.write_bytes(gone.read_bytes()[:200])
    code, _, errors = command(capfd, *flags, "--train_steps=9")
    assert code == 1
    assert errors.startswith(f"run.py: {gone} is damaged or cut off (PNG).")
    assert len(errors.splitlines()) == 1
    assert list(model_dir.glob("checkpoints/ckpt-3.index"))
