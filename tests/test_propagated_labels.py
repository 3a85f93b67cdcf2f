"""Distillation from labels that are carried along the teacher's features."""

import pathlib
import shutil

import numpy as np
import pytest
import tiny

from tf_simclr import cli
from tf_simclr.data.sources.image_set import ImageSet
from tf_simclr.data.sources.pixels import ArrayPixels
from tf_simclr.errors import UserError
from tf_simclr.labels.soft_labels import SoftLabels
from tf_simclr.methods.base import whole_loss
from tf_simclr.modes.execute import make_task, run_stage
from tf_simclr.modes.prepare import prepare

TEACHER = pathlib.Path(__file__).parent / "earlier_runs" / "finetuned"


@pytest.fixture
def config(tmp_path):
    """Two labels of each class; flags may follow."""
    shutil.copytree(TEACHER, tmp_path / "teacher")
    flags = [*tiny.FLAGS, f"--dataset={tiny.write_npz(tmp_path)}"]
    flags += ["--mode=distill", "--labels_per_class=2"]
    flags += [f"--teacher={tmp_path}/teacher", f"--model_dir={tmp_path}/run"]

    def parsed(*more: str):
        found = cli.parse_config(["run.py", *flags, *more])
        found.check()
        return found

    return parsed


@pytest.mark.parametrize(
    "value, way",
    [
        ("teacher", "spreading"),
        ("both", "spreading"),
        ("teacher", "poisson"),
        ("teacher", "poisson_mbo"),
    ],
)
def test_images_learn_the_labels_of_their_place(config, value, way):
    flags = (f"--propagate_labels={value}", f"--propagation={way}")
    method, job = prepare(config(*flags))
    method = method(job)
    job.run_dir.file("")
    pathlib.Path(job.run_dir.path).mkdir()
    (note,) = method.begin()
    assert note == (
        "labels     6 carried along the teacher's features to 24 images"
        " (propagated.npz)"
    )
    with np.load(job.run_dir.file("propagated.npz")) as archive:
        found = {name: archive[name] for name in archive.files}
    assert tuple(found["ids"]) == job.splits.train.ids
    probabilities = found["probabilities"]
    assert probabilities.shape == (24, 3) and np.all(found["entropy"] >= 0)
    places = np.flatnonzero(found["labels"] >= 0)
    assert len(places) == 6
    # A label counts most where it is.
    own = probabilities[places].argmax(axis=1)
    assert own.tolist() == found["labels"][places].tolist()

    batch = make_task(job, method).batches.sample(8, 8, 1)
    logits = method.targets(batch)["teacher_logits"].numpy()
    carried = np.log(np.maximum(probabilities[batch["index"]], 1e-6))
    if value == "both":
        network = (
            method.teachers[0].network(batch["image"], training=False).logits
        )
        powers = np.exp(network) / np.exp(network).sum(axis=1, keepdims=True)
        carried = np.log((powers + np.exp(carried)) / 2)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        carried -= np.log(np.exp(carried).sum(axis=1, keepdims=True))
    assert np.allclose(logits, carried, atol=1e-4)
    loss, _, _ = whole_loss(method, batch)
    assert np.isfinite(float(loss))


def test_a_missing_index_is_named_before_the_first_step(config, monkeypatch):
    flags = ("--propagate_labels=both", "--neighbour_search=approximate")
    method, job = prepare(config(*flags))
    method(job)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install faiss-cpu"):
        method, job = prepare(config(*flags))
        method(job)


@pytest.mark.slow
def test_a_run_goes_on_with_the_labels_that_it_began_with(config, tmp_path):
    run_stage(config("--propagate_labels=both", "--train_epochs=1"))
    path = tmp_path / "run" / "propagated.npz"
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    # Which shows where they come from.
    arrays["probabilities"] = arrays["probabilities"][::-1]
    np.savez(path, **arrays)
    before = path.read_bytes()
    run_stage(config("--propagate_labels=both", "--train_epochs=2"))
    assert path.read_bytes() == before
    with pytest.raises(UserError, match="propagate_labels"):
        run_stage(config("--train_epochs=3"))


def test_labels_of_other_images_are_not_read(tmp_path):
    def images(labels):
        pixels = ArrayPixels(np.zeros((3, 8, 8, 3), np.uint8))
        names = ("a", "b", "c")
        return ImageSet(
            "train", pixels, np.array(labels, np.int32), ("x", "y"), names
        )

    path = str(tmp_path / "propagated.npz")
    assert SoftLabels.read(path, images([0, 1, -1])) is None
    found = SoftLabels.of_features(images([0, 1, -1]), np.eye(3), 2)
    found.write(path, images([0, 1, -1]))
    again = SoftLabels.read(path, images([0, 1, -1]))
    assert np.array_equal(again.probabilities, found.probabilities)
    assert SoftLabels.read(path, images([0, -1, 1])) is None
    pathlib.Path(path).write_bytes(b"PK")
    assert SoftLabels.read(path, images([0, 1, -1])) is None


def test_without_labels_there_is_nothing_to_carry(config, tmp_path):
    folder = tmp_path / "bare"
    folder.mkdir()
    dataset = tiny.write_npz(folder, labels=False)
    words = config("--propagate_labels=both", f"--dataset={dataset}")
    with pytest.raises(UserError, match="carries true labels to other images"):
        run_stage(words)
