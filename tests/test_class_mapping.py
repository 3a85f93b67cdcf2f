"""Classes go by their names: in evaluation, kept heads and distillation."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tiny
from PIL import Image

from tf_simclr import cli
from tf_simclr.data.class_mapping import (
    KnownClasses,
    check_names,
    map_classes,
)
from tf_simclr.data.labels import LabelledSubset
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError

KNOWN = KnownClasses(("ant", "bee", "cat"), 3, "weights")
TOP_1 = "eval/label_top_1_accuracy"


def image_set(names, labels) -> ImageSet:
    labels = np.array(labels, np.int32)
    pixels = ArrayPixels(np.zeros((len(labels), 2, 2, 3), np.uint8))
    return ImageSet("test", pixels, labels, tuple(names), ("x",) * len(labels))


def mapped(names, labels, known=KNOWN):
    images = image_set(names, labels)
    mapping = map_classes([images], known, "data")
    return mapping.images(images), mapping.notices


def test_the_same_classes_stay_as_they_are():
    images, notices = mapped(["ant", "bee", "cat"], [2, -1, 0, 1])
    assert images.labels.tolist() == [2, -1, 0, 1] and notices == ()


def test_another_order_is_mapped_and_said():
    images, notices = mapped(["cat", "ant", "bee"], [0, 1, 2, -1])
    assert images.labels.tolist() == [2, 0, 1, -1]
    assert images.labels.dtype == np.int32
    assert images.class_names == KNOWN.names
    assert len(notices) == 1 and "another order" in notices[0]


def test_a_part_of_the_classes_is_mapped_and_said():
    images, notices = mapped(["ant", "cat"], [0, 1, 1])
    assert images.labels.tolist() == [0, 2, 2]
    assert len(notices) == 1
    assert "1 of the 3 classes" in notices[0] and "(bee)" in notices[0]


def test_unknown_classes_are_refused_with_both_lists():
    with pytest.raises(UserError) as error:
        mapped(["ant", "bee", "dog"], [0, 1, 2])
    for part in ("dog", "ant, bee, cat", "ant, bee, dog", "--dataset=data"):
        assert part in str(error.value)


def test_a_name_without_an_image_is_not_unknown():
    images, _ = mapped(["ant", "bee", "cat", "dog"], [0, 1, 2])
    assert images.labels.tolist() == [0, 1, 2]


def test_all_splits_count():
    splits = image_set(["ant", "dog"], [0]), image_set(["ant", "dog"], [1])
    with pytest.raises(UserError, match="dog"):
        map_classes(splits, KNOWN, "data")


def test_names_that_look_alike_are_alike():
    known = KnownClasses(("caf\u00e9", "tea"), 2, "weights")
    images, notices = mapped(["cafe\u0301", "tea"], [1, 0], known)
    assert images.labels.tolist() == [1, 0] and notices == ()


def test_without_names_the_number_of_classes_counts():
    nameless = KnownClasses((), 3, "weights")
    images, notices = mapped(["x", "y", "z"], [0, 2], nameless)
    assert images.labels.tolist() == [0, 2]
    assert images.class_names == ("x", "y", "z")
    assert "by their numbers" in notices[0]
    with pytest.raises(UserError, match="know 3 classes.*has 2"):
        mapped(["x", "y"], [0, 1], nameless)


def test_images_without_labels_need_no_classes():
    images, notices = mapped([], [-1, -1])
    assert images.labels.tolist() == [-1, -1] and notices == ()


def test_a_labelled_subset_follows():
    subset = LabelledSubset(
        indices=np.array([0, 3]),
        ids=("a", "b"),
        labels=np.array([1, 0], np.int32),
        class_names=("ant", "cat"),
        seed=0,
    )
    images = image_set(["ant", "cat"], [1, -1, -1, 0])
    found = map_classes([images], KNOWN, "data").subset(subset)
    assert found.labels.tolist() == [2, 0]
    assert found.to_json()["class_names"] == ["ant", "bee", "cat"]


def test_a_file_of_names_may_rename_but_not_exchange():
    check_names(["Ant", "Bee", "Cat"], KNOWN, "--class_names_file=f")
    with pytest.raises(UserError, match="one name.*Received: a"):
        check_names(["a", "a", "b"], KNOWN, "--class_names_file=f")
    with pytest.raises(UserError, match="'cat' in place 0.*is class 2"):
        check_names(["cat", "bee", "ant"], KNOWN, "--class_names_file=f")


COLORS = {"ant": (220, 30, 30), "bee": (30, 220, 30), "cat": (30, 30, 220)}
FLAGS = [*tiny.NETWORK, "--crop_min_area=0.9", "--train_batch_size=6"]
TRAINING = ["--optimizer=adam", "--learning_rate=0.01", "--warmup_epochs=0"]
TRAINING += ["--learning_rate_scaling=none", "--train_steps=30"]
ONE_STEP = ["--train_batch_size=2", "--train_steps=1", "--learning_rate=0"]
ONE_STEP += ["--image_size=8", "--noexport", "--warmup_epochs=0"]


def write(folder: pathlib.Path, **colors) -> str:
    for name, color in colors.items():
        (folder / name).mkdir(parents=True)
        for index in range(4):
            shade = [min(255, value + 5 * index) for value in color]
            picture = Image.new("RGB", (8, 8), tuple(shade))
            picture.save(folder / name / f"{index}.png")
    return str(folder)


def call(*flags):
    return cli.main(["run.py", *flags])


def score(folder) -> float:
    return json.loads((folder / "result.json").read_text())[TOP_1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, one_block):
    """A run that knows ant, bee and cat by their colors."""
    folder = tmp_path_factory.mktemp("trained")
    write(folder / "data" / "train", **COLORS)
    write(folder / "data" / "test", **COLORS)
    flags = [*FLAGS, *TRAINING, f"--dataset={folder}/data"]
    flags += ["--mode=finetune", "--from_scratch", "--ft_proj_selector=1"]
    assert call(*flags, f"--model_dir={folder}/run") == 0
    assert score(folder / "run") == 1.0
    return folder / "run"


def test_a_kept_head_stays_on_its_layer(trained, tmp_path, capsys):
    data = f"--dataset={trained.parent}/data"
    kept = ["--mode=finetune", f"--checkpoint={trained}", "--keep_head", data]
    assert call(*kept, *ONE_STEP, f"--model_dir={tmp_path}/kept") == 0
    assert score(tmp_path / "kept") == 1.0
    record = json.loads((tmp_path / "kept/config.json").read_text())
    assert record["architecture"]["classifier_layer"] == 1
    capsys.readouterr()
    flags = [*kept, *ONE_STEP, "--ft_proj_selector=0"]
    assert call(*flags, f"--model_dir={tmp_path}/other") == 2
    assert "reads layer 1" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_evaluation_goes_by_names(trained, tmp_path, capsys):
    evaluate = ["--mode=eval", f"--checkpoint={trained}"]
    renamed = {"ant": COLORS["ant"], "bug": COLORS["bee"]}
    data = write(tmp_path / "renamed" / "test", **renamed).removesuffix("/test")
    out = f"--model_dir={tmp_path}/refused"
    assert call(*evaluate, f"--dataset={data}", out) == 2
    error = capsys.readouterr().err
    assert "bug" in error and "ant, bee, cat" in error
    assert not (tmp_path / "refused").exists()
    # Only a test part, which lacks the first class.
    fewer = {name: COLORS[name] for name in ("bee", "cat")}
    data = write(tmp_path / "fewer" / "test", **fewer).removesuffix("/test")
    out = f"--model_dir={tmp_path}/scored"
    assert call(*evaluate, f"--dataset={data}", out) == 0
    assert score(tmp_path / "scored") == 1.0
    said = capsys.readouterr().out
    assert "1 of the 3 classes" in said and "(ant)" in said


def test_a_kept_head_and_a_teacher_go_by_names(trained, tmp_path, capsys):
    fewer = {name: COLORS[name] for name in ("bee", "cat")}
    data = write(tmp_path / "fewer", **fewer)
    flags = [f"--dataset={data}", "--eval_fraction=0.5", *ONE_STEP]
    kept = ["--mode=finetune", f"--checkpoint={trained}", "--keep_head"]
    assert call(*kept, *flags, f"--model_dir={tmp_path}/kept") == 0
    assert score(tmp_path / "kept") == 1.0
    for file in ("labels.json", "config.json"):
        found = json.loads((tmp_path / "kept" / file).read_text())
        found = found.get("dataset", found)
        assert found["class_names"] == ["ant", "bee", "cat"]
    # The images are the run's own, whatever numbers their classes have.
    capsys.readouterr()
    assert call("--mode=eval", f"--model_dir={tmp_path}/kept") == 0
    assert "not what they were" not in capsys.readouterr().out
    # A student of the teacher's own weights that learns nothing.
    student = ["--mode=distill", f"--teacher={trained}", *tiny.NETWORK]
    out = f"--model_dir={tmp_path}/student"
    assert call(*student, *flags, out) == 0
    found = json.loads((tmp_path / "student/config.json").read_text())
    assert found["dataset"]["class_names"] == ["ant", "bee", "cat"]
    assert found["architecture"]["num_classes"] == 3
    shutil.move(tmp_path / "fewer/cat", tmp_path / "fewer/dog")
    capsys.readouterr()
    for mode in (kept, student):
        assert call(*mode, *flags, f"--model_dir={tmp_path}/no") == 2
        error = capsys.readouterr().err
        assert "dog" in error and "ant, bee, cat" in error


def test_labels_of_features_are_numbered_as_their_logits(
    trained, tmp_path, capsys
):
    embed = ["--mode=embed", f"--checkpoint={trained}", "--map=none"]
    embed += ["--eval_fraction=0"]
    fewer = {name: COLORS[name] for name in ("bee", "cat")}
    data = write(tmp_path / "fewer", **fewer)
    out = [f"--dataset={data}", f"--model_dir={tmp_path}/out"]
    assert call(*embed, *out) == 0
    with np.load(tmp_path / "out/features.npz") as found:
        assert found["labels"].tolist() == [1] * 4 + [2] * 4
        assert np.array_equal(found["logits"].argmax(1), found["labels"])
    shutil.move(tmp_path / "fewer/cat", tmp_path / "fewer/dog")
    capsys.readouterr()
    assert call(*embed, *out) == 0
    assert "labels keep the numbers of this" in capsys.readouterr().out
    with np.load(tmp_path / "out/features.npz") as found:
        assert found["labels"].tolist() == [0] * 4 + [1] * 4


def test_an_archive_with_a_test_part_alone_is_scored(tmp_path, one_block):
    flags = [*FLAGS, f"--dataset={tiny.write_npz(tmp_path)}"]
    flags += ["--train_steps=1", "--mode=finetune", "--from_scratch"]
    assert call(*flags, f"--model_dir={tmp_path}/run") == 0
    with np.load(tmp_path / "tiny.npz") as archive:
        arrays = {n: archive[n] for n in archive.files if n.endswith("_test")}
    np.savez(tmp_path / "test.npz", **arrays)
    evaluate = ["--mode=eval", f"--checkpoint={tmp_path}/run"]
    evaluate += [f"--dataset={tmp_path}/test.npz"]
    assert call(*evaluate, f"--model_dir={tmp_path}/scored") == 0
    assert score(tmp_path / "scored") == score(tmp_path / "run")
