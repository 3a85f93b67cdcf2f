"""The same `model_dir` again: longer, shorter, changed, in use, killed late."""

import json
import os
import shutil

import numpy as np
import pytest
import tiny
from small_task import metrics, train

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.modes import context
from tf_simclr.modes.pretrain import pretrain
from tf_simclr.training.lock import locked


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> str:
    return tiny.write_npz(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset):
    """A pretraining of two steps, and how to go on with it."""
    folder = tmp_path_factory.mktemp("run")

    def run(text: str):
        words = " ".join([*tiny.FLAGS, "--train_steps=2", text])
        flags = parse_overrides(words, "flags")
        run = {"model_dir": str(folder), "dataset": dataset}
        return pretrain(from_flat({"mode": "pretrain", **run, **flags}))

    run("")
    return folder, run


def files(folder):
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    "text, told",
    [
        ("--train_steps=1", "at step 2, beyond the 1 steps asked for, nothing"),
        ("", "has finished at step 2, nothing left to do"),
        # Only its probes saw labels: what it learned serves any.
        ("--label_seed=1 --labels_per_class=2", "nothing left to do"),
        (
            "--temperature=0.5",
            "Without effect, as it has finished: changed    --temperature is"
            " 0.5, no longer 0.1",
        ),
    ],
)
def test_a_reached_length_is_told(run, capsys, text, told):
    folder, again = run
    before = files(folder)
    assert again(text)["global_step"] == 2
    assert told in capsys.readouterr().out
    assert files(folder) == before


@pytest.mark.parametrize(
    "text, told",
    [
        ("--train_batch_size=4", "train_batch_size is 8, not 4"),
        (
            "--train_steps=3 --labels_per_class=2",
            "labelled subset differs (24 images",
        ),
        ("--memory_size=9", "memory_size is 0, not 9"),
        ("--train_split=train[:20]", "train_split is train, not train[:20]"),
    ],
)
def test_another_run_is_refused(run, text, told):
    folder, again = run
    before = files(folder)
    with pytest.raises(UserError) as error:
        again(text)
    assert told in str(error.value)
    assert files(folder) == before


def test_a_data_set_is_known_by_its_images(
    run, dataset, tmp_path, monkeypatch, capsys
):
    folder, again = run
    before = files(folder)
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["dataset"] == dataset
    (tmp_path / "mount").symlink_to(os.path.dirname(dataset))
    shutil.copy(dataset, tmp_path / "tiny.npz")
    monkeypatch.chdir(tmp_path)
    for place in ("tiny.npz", "./tiny.npz", "mount/tiny.npz"):
        assert again(f"--dataset={place}")["global_step"] == 2
        assert "Without effect" not in capsys.readouterr().out
    with np.load(dataset) as archive:
        arrays = dict(archive)
    # Other pictures of the same ids and labels.
    np.savez("tiny.npz", **arrays | {"x_train": 255 - arrays["x_train"]})
    with pytest.raises(UserError, match="holds another run: .*content is"):
        again("--dataset=tiny.npz")
    assert files(folder) == before


def test_a_run_without_its_export_has_not_finished(run, tmp_path, monkeypatch):
    folder, again = run
    copy = shutil.copytree(folder, tmp_path / "copy")
    exported = []

    def export(source, folder, **options):
        exported.append((source.step, folder, options["in_place"]))
        return folder

    monkeypatch.setattr(context, "export_saved_model", export)
    again(f"--export --model_dir={copy}")
    assert exported == [(2, str(copy / "saved_model"), True)]


def test_a_pipelines_directory_is_refused(dataset, tmp_path):
    (tmp_path / "result.json").write_text('{"distilled_top_1": 1.0}')
    words = " ".join([*tiny.FLAGS, "--train_steps=2"])
    flags = parse_overrides(words, "flags")
    flags |= {"model_dir": str(tmp_path), "dataset": dataset}
    with pytest.raises(UserError, match="holds a pipeline"):
        pretrain(from_flat(flags))
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_directory_in_use_is_refused(run):
    folder, again = run
    with locked(str(folder)):
        before = files(folder)
        with pytest.raises(UserError, match="is in use by process"):
            again("--train_steps=3")
        assert files(folder) == before


def test_a_process_killed_after_its_evaluation_leaves_no_trace(run, capsys):
    folder, again = run
    before = files(folder)
    (folder / "result.json").unlink()
    (folder / ".writing-result.json-x").mkdir()
    again("")
    assert "pretrain done at step 2" in capsys.readouterr().out
    # Charts of the final scores are drawn once more.
    after = files(folder)
    assert {p: b for p, b in after.items() if "tfevents" not in p.name} == {
        p: b for p, b in before.items() if "tfevents" not in p.name
    }
    assert not (folder / ".writing-result.json-x").exists()


@pytest.mark.slow
def test_a_longer_run_is_planned_anew(run, capsys):
    folder, again = run
    assert again("--train_steps=3 --learning_rate=0.1")["global_step"] == 3
    told = capsys.readouterr().out
    assert "re-planned 3 steps, no longer 2" in told
    assert "--learning_rate is 0.1, no longer 0.3" in told
    # The cosine over three steps, at its third.
    assert "Continuing from step 2 of 3, learning rate 0.0007812." in told
    rates = metrics(folder, "learning_rate")
    assert list(rates) == [1, 2, 3]
    assert rates[3] == pytest.approx(0.1 * 8 / 256 / 4)
    record = json.loads((folder / "config.json").read_text())
    assert record["derived"]["total_steps"] == 3
    assert record["derived"]["tf32"] is record["config"]["tf32"] is False


def test_the_best_and_the_newest_are_kept(tmp_path):
    scores = iter([0.1, 0.7, 0.3, 0.7, 0.2])
    name = "eval/label_top_1_accuracy"
    train(
        tmp_path,
        steps=12,
        keep_checkpoint_max=1,
        checkpoint_steps=6,
        eval_every_epochs=1,
        evaluator=lambda: {name: next(scores)},
    )
    # Evaluated at 4 and 8; step 8, which was not to be saved, is the best.
    best = json.loads((tmp_path / "best.json").read_text())
    assert best == {"step": 8, "checkpoint": "checkpoints/ckpt-8", name: 0.7}
    saved = {path.stem for path in tmp_path.glob("checkpoints/*.index")}
    assert saved == {"ckpt-8", "ckpt-12"}
    assert metrics(tmp_path, name) == {4: 0.1, 8: 0.7}


def test_a_damaged_best_is_no_longer_the_best(tmp_path):
    scores = iter([0.7, 0.3, 0.5, 0.2])
    name = "eval/label_top_1_accuracy"
    flags = {
        "keep_checkpoint_max": 2,
        "checkpoint_steps": 4,
        "eval_every_epochs": 1,
        "evaluator": lambda: {name: next(scores)},
    }
    train(tmp_path, steps=12, **flags)

    def best():
        return json.loads((tmp_path / "best.json").read_text())["step"]

    state = tmp_path / "checkpoints" / "checkpoint"
    assert best() == 4 and '"ckpt-4"' in state.read_text()
    index = tmp_path / "checkpoints" / "ckpt-4.index"
    index.write_bytes(index.read_bytes()[:-1] + b"z")
    train(tmp_path, steps=12, **flags)
    # Nothing was trained, but it was looked at.
    assert best() == 8
    assert '"ckpt-4"' not in state.read_text() and index.exists()
    train(tmp_path, steps=16, **flags)
    assert best() == 12 and not index.exists()


def test_the_last_damaged_best_leaves_no_best(tmp_path):
    name = "eval/knn_top_1_accuracy"
    flags = {"eval_every_epochs": 1, "evaluator": lambda: {name: 0.5}}
    train(tmp_path, steps=6, checkpoint_steps=4, **flags)
    assert (tmp_path / "best.json").exists()
    (tmp_path / "checkpoints" / "ckpt-4.data-00000-of-00001").unlink()
    train(tmp_path, steps=6, checkpoint_steps=4, **flags)
    assert not (tmp_path / "best.json").exists()


def test_a_step_beyond_the_end_is_not_trained_back(tmp_path, capsys):
    weights = train(tmp_path, steps=6)
    capsys.readouterr()
    assert train(tmp_path, steps=4) == weights
    assert "Step 6 has been reached, beyond the 4 steps asked for" in (
        capsys.readouterr().out
    )
