"""From `--dataset` to a source: kinds of source, functions from outside."""

import dataclasses
import json
import pathlib
import re
import types

import numpy as np
import pictures
import pytest
import tiny

from tf_simclr import cli, process
from tf_simclr.config import DataConfig
from tf_simclr.config.flat import from_flat, parse_overrides, to_flat
from tf_simclr.config.paths import with_absolute_paths
from tf_simclr.data.sources import registry
from tf_simclr.data.sources.identity import content_checksum, ids_checksum
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.open import open_dataset
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.registry import SourceKind, find_kind, register
from tf_simclr.data.sources.source import Source
from tf_simclr.errors import UserError
from tf_simclr.modes.pipeline import pipeline
from tf_simclr.modes.stored_data import check_stored_images
from tf_simclr.training.run_record import DatasetRecord, RunRecord

# What somebody writes who uses the package: one source is computed, the other
# lists files. `calls` tells how often it was called.
OUTSIDE = """
import pathlib

import numpy as np

from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels, FilePixels
from tf_simclr.data.sources.source import Source, stamp

HERE = pathlib.Path(__file__).resolve().parent
NAMES = ("dark", "bright")


def count():
    with open(HERE / "calls", "a") as calls:
        calls.write("x")


def squares(config):
    count()
    splits = {}
    for split, number in (("train", 24), ("test", 8)):
        labels = np.arange(number, dtype=np.int32) % 2
        rng = np.random.default_rng(number)
        noise = rng.integers(0, 100, (number, 8, 8, 3), dtype=np.uint8)
        array = noise + 150 * labels[:, None, None, None].astype(np.uint8)
        ids = tuple(f"squares/{split}/{i}" for i in range(number))
        pixels = ArrayPixels(array)
        splits[split] = ImageSet(split, pixels, labels, NAMES, ids)
    return Source(splits)


def photos(config):
    count()
    splits = {}
    for split in ("train", "test"):
        paths = sorted((HERE / "photos" / split).iterdir())
        ids = tuple(f"{split}/{path.name}" for path in paths)
        pixels = FilePixels(str(HERE / "photos"), ids)
        labels = np.arange(len(ids), dtype=np.int32) % 2
        splits[split] = ImageSet(split, pixels, labels, NAMES, ids)
    folders = [str(HERE / "photos" / split) for split in splits]
    return Source(splits, stamps={path: stamp(path) for path in folders})


def unstamped(config):
    import beside

    return Source(photos(config).splits)


def array(config):
    return np.zeros((2, 8, 8, 3))


number = 3
"""


@dataclasses.dataclass(frozen=True)
class Outside:
    """A module in the folder in which commands are given.

    Attributes:
      folder: holds the module, and photographs.
      name: the module's.
    """

    folder: pathlib.Path
    name: str

    def calls(self) -> int:
        """Number of calls of one of its sources."""
        return (self.folder / "calls").stat().st_size


@pytest.fixture
def outside(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    pictures.write_photos(folder / "photos", {"train": 16, "test": 8})
    # Each test's is another module of this process.
    name = re.sub(r"\W", "_", tmp_path.name)
    (folder / f"{name}.py").write_text(OUTSIDE)
    (folder / "beside.py").touch()
    (folder / "broken.py").write_text("def images(:\n")
    (folder / "needy.py").write_text("import no_such_package\n")
    monkeypatch.chdir(folder)
    process.release()
    return Outside(folder, name)


def opened(dataset, folders=(), **flags):
    return open_dataset(DataConfig(dataset=dataset, **flags), folders)


@pytest.mark.parametrize(
    "name, kind",
    [
        ("digits", "digits"),
        ("some/where.npz", "npz"),
        ("where.csv", "csv"),
        (".", "folder"),
        ("a-*-of-00002", "shards"),
        ("mine:images", "function"),
        ("my_package.mine:images", "function"),
        ("mnist", "tfds"),
        ("cifar10:3.0.2", "tfds"),
        ("huggingface:mnist", "tfds"),
        ("gs:b c", "tfds"),
        ("data.zip", None),
        ("file:like", None),
        ("./mine:images", None),
        ("/nowhere", None),
    ],
)
def test_the_kind_that_a_name_is_of(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    for file in ("data.zip", "file:like", "a-.tfrecord-00001-of-00002"):
        (tmp_path / file).touch()
    found = find_kind(name)
    assert (found and found.name) == kind


def test_computed_images_from_a_function(outside):
    splits = opened(f"{outside.name}:squares")
    assert (len(splits.train), len(splits.evaluation)) == (24, 8)
    assert splits.train.class_names == ("dark", "bright")
    means = splits.train.pixels.array.mean(axis=(1, 2, 3))
    assert np.array_equal(means > 125, splits.train.labels == 1)


def test_files_from_a_function_are_listed_once(outside, tmp_path):
    """As those of a folder: until the files or the function change."""
    name, run = f"{outside.name}:photos", str(tmp_path / "run")

    def listed(**flags) -> int:
        # As another process starts.
        process.release()
        before = outside.calls() if (outside.folder / "calls").exists() else 0
        splits = opened(name, [run], **flags)
        assert splits.train.pixels.path(0).endswith("/photos/train/000.jpg")
        splits.write(run, [run])
        return outside.calls() - before

    assert (listed(), listed()) == (1, 0)
    (outside.folder / "photos" / "test" / "016.jpg").unlink()
    assert (listed(), listed()) == (1, 0)
    module = outside.folder / f"{outside.name}.py"
    module.write_text(OUTSIDE + "# Another version.\n")
    assert (listed(), listed()) == (1, 0)
    # A function may read them.
    assert listed(image_size=16) == 1
    assert listed(data_dir="elsewhere") == 1


def test_a_source_without_stamps_has_no_index(outside, tmp_path):
    """Nobody could tell whether it is out of date."""
    run = tmp_path / "run"
    damaged = outside.folder / "photos" / "train" / "000.jpg"
    damaged.write_bytes(b"no image")
    splits = opened(f"{outside.name}:unstamped", bad_images="skip")
    assert list(splits.bad) == ["train/000.jpg"]
    splits.write(str(run), [str(run)])
    assert not list(run.glob("index-*"))


def test_a_function_s_images_join_others(outside):
    train = opened(
        f"{outside.name}:photos",
        unlabeled_dataset=str(outside.folder / "photos"),
    ).train
    assert len(train) == 16 + 24


@pytest.mark.parametrize(
    "name, message",
    [
        ("no_such_module:images", "imported: No module named 'no_such_module'"),
        ("needy:images", "imported: No module named 'no_such_package'"),
        ("broken:images", "cannot be imported: .*broken.py, line 1"),
        ("MINE:nothing", "cannot be imported: .* has no attribute 'nothing'"),
        ("MINE:number", "must name a function .* Received: int"),
        ("MINE:array", "must return a .*Source. Received: ndarray"),
    ],
)
def test_what_is_no_source_is_told_in_one_sentence(
    outside, tmp_path, capfd, name, message
):
    name = name.replace("MINE", outside.name)
    run = tmp_path / "run"
    code = cli.main(
        ["run.py", "--mode=pretrain", f"--dataset={name}", *tiny.FLAGS]
        + [f"--model_dir={run}"]
    )
    errors = capfd.readouterr().err
    assert code == 2
    assert re.search(f"--dataset={name} {message}|{message}", errors), errors
    assert f"--dataset={name} " in errors and len(errors.splitlines()) == 1
    assert not run.exists()


def images(**changes) -> ImageSet:
    """Four images of two classes, but for some changes."""
    values = {
        "name": "train",
        "pixels": ArrayPixels(np.zeros((4, 8, 8, 3), np.uint8)),
        "labels": np.array([0, 1, -1, 1], np.int32),
        "class_names": ("a", "b"),
        "ids": tuple("wxyz"),
    }
    return ImageSet(**{**values, **changes})


@pytest.fixture
def mine(monkeypatch):
    """Registers a kind of source that opens these images."""
    monkeypatch.setattr(registry, "REGISTERED", {})
    process.release()

    def add(found: ImageSet, **changes) -> None:
        register(
            SourceKind(
                "mine",
                matches=lambda name: name == "mine",
                open=lambda *_: Source({"train": found}),
                **changes,
            )
        )

    return add


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"name": "test"}, "must go by that name itself. Received: test"),
        ({"ids": ("w", "x")}, "each of its 4 images. .*: 4 labels and 2 ids"),
        ({"labels": np.zeros(3, np.int32)}, "Received: 3 labels and 4 ids"),
        ({"labels": np.zeros(4)}, "Received: float64 of shape"),
        ({"labels": [0, 1, 0, 1]}, "must have int32 labels"),
        ({"labels": np.zeros((4, 1), np.int32)}, r"of shape \(4, 1\)"),
        ({"labels": np.full(4, 2, np.int32)}, "below 2, .* from 2 to 2"),
        ({"labels": np.full(4, -2, np.int32)}, "from -2 to -2"),
        ({"pixels": ArrayPixels(np.zeros((4, 8, 8, 3)))}, "float64 of shape"),
        (
            {"pixels": ArrayPixels(np.zeros((4, 8, 8), np.uint8))},
            "must hold uint8 images of shape",
        ),
        ({"pixels": FilePixels("here", tuple("wxyz"))}, "absolute paths. .*/w"),
    ],
)
def test_parts_that_do_not_fit_are_named(mine, changes, message):
    mine(images(**changes))
    with pytest.raises(
        UserError, match=f"split 'train' of --dataset=mine .*{message}"
    ):
        opened("mine")


def test_a_kind_is_registered_in_python(mine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine(images(), by_name=True)
    assert opened("mine").train.ids == tuple("wxyz")
    with pytest.raises(ValueError, match="'mine' is there already"):
        mine(images())
    with pytest.raises(ValueError, match="'folder' is there already"):
        register(SourceKind("folder", lambda name: True, open=None))
    # It is asked first, and its name is no path.
    (tmp_path / "mine").mkdir()
    assert len(opened("mine").train) == 4
    assert with_absolute_paths({"dataset": "mine"}) == {"dataset": "mine"}


def test_values_of_a_kind_that_goes_by_path_are_stored_absolute(
    mine, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    mine(images())
    (tmp_path / "mine").mkdir()
    stored = with_absolute_paths({"dataset": "mine"})
    assert stored == {"dataset": str(tmp_path / "mine")}


def test_a_run_s_function_must_return_the_images_of_the_run(outside):
    """Another directory may have another function of that name."""
    name = f"{outside.name}:photos"
    config = from_flat({"dataset": name, "model_dir": "later"})
    train = open_dataset(config.data).train
    record = DatasetRecord(
        name=name,
        train_images=len(train),
        ids=ids_checksum(train),
        content=content_checksum(train),
    )
    stored = types.SimpleNamespace(
        path="runs/a",
        record=RunRecord(stage="pretrain", dataset=record),
        config=to_flat(config),
    )
    config = dataclasses.replace(config, inherited=config.given)
    check_stored_images(config, stored)
    (outside.folder / "photos" / "train" / "000.jpg").unlink()
    with pytest.raises(UserError, match=f"16 then, 15 now.*Received: {name}"):
        check_stored_images(config, stored)
    gone = {"dataset": "no_such_module:photos"}
    data = dataclasses.replace(config.data, **gone)
    # Left to whoever opens it, with the reason.
    stored.config |= gone
    check_stored_images(dataclasses.replace(config, data=data), stored)


def last_step(run: pathlib.Path) -> int:
    return json.loads((run / "result.json").read_text())["global_step"]


@pytest.mark.slow
def test_files_from_a_function_train_resume_and_are_scored(outside, tmp_path):
    """By `run.py`, as somebody who only wrote the module does."""
    name, run = f"{outside.name}:photos", tmp_path / "run"

    def command(*flags: str):
        return tiny.run(*flags, program=tiny.ONE_BLOCK, cwd=outside.folder)

    flags = [*tiny.FLAGS, "--mode=pretrain", f"--dataset={name}"]
    flags.append(f"--model_dir={run}")
    done = command(*flags, "--train_steps=2")
    assert done.returncode == 0, done.stderr
    assert "8 to evaluate on" in done.stdout
    config = json.loads((run / "config.json").read_text())["config"]
    assert config["dataset"] == name
    calls = outside.calls()
    done = command(*flags, "--train_steps=3")
    assert done.returncode == 0, done.stderr
    assert (last_step(run), calls, outside.calls()) == (3, 1, 1)
    photos = outside.folder / "photos"
    (photos / "test" / "seen.jpg").symlink_to(photos / "train" / "000.jpg")
    done = command(
        "--mode=eval", f"--checkpoint={run}", f"--model_dir={tmp_path / 'eval'}"
    )
    assert done.returncode == 0, done.stderr
    assert "1 of the 9 evaluation images were trained on" in done.stdout
    # Other images are no reason to go on.
    (photos / "train" / "004.jpg").unlink()
    (photos / "train" / "005.PNG").unlink()
    done = command(*flags, "--train_steps=4")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert last_step(run) == 3
    # Without the module, its name means nothing.
    done = tiny.run(*flags, "--train_steps=4", cwd=tmp_path)
    assert done.returncode == 2
    assert f"--dataset={name} cannot be imported" in done.stderr


@pytest.mark.slow
def test_computed_images_go_through_a_pipeline(outside, one_block, tmp_path):
    run = tmp_path / "run"
    text = (
        f"{' '.join(tiny.FLAGS)} --labels_per_class=4 --train_epochs=1"
        f" --dataset={outside.name}:squares --mode=pipeline --model_dir={run}"
    )
    result = pipeline(from_flat(parse_overrides(text, "flags")))
    assert result["labels"] == 8
    # All stages share what the function returned.
    assert outside.calls() == 1
    assert (run / "report.html").exists()
    flags = ["--mode=embed", f"--checkpoint={run / 'distill'}"]
    assert cli.main(["run.py", *flags, f"--model_dir={tmp_path / 'e'}"]) == 0
    with np.load(tmp_path / "e" / "features.npz") as found:
        assert len(found["features"]) == 24
