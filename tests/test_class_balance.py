"""`--class_balance` of a whole run, and who takes it."""

import json

import numpy as np
import pytest
import tiny

from tf_simclr.config.flat import from_flat, parse_overrides
from tf_simclr.errors import UserError
from tf_simclr.methods.finetune import FineTuning
from tf_simclr.modes.execute import make_task, run_stage
from tf_simclr.modes.prepare import prepare

pytestmark = pytest.mark.usefixtures("one_block")


def write_npz(folder, counts=(20, 3)) -> str:
    """Classes of so many training images; five of each to score."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, sizes in (("train", counts), ("test", (5, 5))):
        classes = np.repeat(np.arange(len(sizes)), sizes)
        images = rng.integers(0, 100, (len(classes), 8, 8, 3), dtype=np.uint8)
        images[np.arange(len(classes)), :, :, classes] += 150
        arrays |= {f"x_{split}": images, f"y_{split}": classes}
    path = folder / "unequal.npz"
    np.savez(path, **arrays)
    return str(path)


def config(folder, dataset, text="", mode="finetune"):
    flags = parse_overrides(f"{' '.join(tiny.FLAGS)} {text}", "flags")
    flags |= {"mode": mode, "model_dir": str(folder), "dataset": dataset}
    return from_flat(flags)


def drawn(folder, dataset, text):
    """The labels of the first batches of a run."""
    method, job = prepare(config(folder, dataset, f"--from_scratch {text}"))
    batches = make_task(job, method(job)).batches
    return [items["label"].numpy() for items in batches.dataset(8, 0, 5)]


def test_batches_of_a_run_hold_classes_evenly(tmp_path):
    dataset, folder = write_npz(tmp_path), tmp_path / "run"
    for labels in drawn(folder, dataset, "--class_balance=batches"):
        assert sorted(labels) == [0] * 4 + [1] * 4
    for text in ("", "--class_balance=loss"):
        found = np.concatenate(drawn(folder, dataset, text))
        assert np.mean(found == 1) < 0.3


def test_a_rare_class_weighs_more_in_a_run(tmp_path):
    text = "--from_scratch --class_balance=loss"
    method, job = prepare(config(tmp_path / "run", write_npz(tmp_path), text))
    method = method(job)
    assert isinstance(method, FineTuning)
    share = method.prepare({"label": np.repeat([0, 1], [6, 2])})["label_share"]
    expected = np.repeat([23 / (2 * 20), 23 / (2 * 3)], [6, 2]) / 8
    np.testing.assert_allclose(share, expected, rtol=1e-6)
    [note] = [note for note in method.notes if note.startswith("balance")]
    assert "weighs 0.575 to 3.83 in the loss" in note


def test_very_unequal_labels_are_told_of_once(tmp_path, capsys):
    folder = tmp_path / "run"
    text = "--from_scratch --train_steps=1"
    run_stage(config(folder, write_npz(tmp_path), text))
    said = capsys.readouterr().out
    assert said.count("unequal numbers of labels (0 20, 1 3)") == 1
    # A resumed run is told that its loss is another one.
    text = text.replace("=1", "=2") + " --class_balance=loss"
    run_stage(config(folder, write_npz(tmp_path), text))
    said = capsys.readouterr().out
    assert "--class_balance is loss, no longer none" in said
    assert "unequal numbers of labels" not in said
    record = json.loads((folder / "config.json").read_text())
    assert record["config"]["class_balance"] == "loss"


@pytest.mark.parametrize(
    "mode, text, message",
    [
        (
            "pretrain",
            "--class_balance=loss",
            "--class_balance is for fine-tuning and distillation and has no"
            " effect on pretraining",
        ),
        (
            "distill",
            "--teacher=x --class_balance=loss",
            "has no effect where --distillation_alpha=1 uses no label",
        ),
        (
            "distill",
            "--teacher=x --class_balance=batches --distillation_alpha=0.5",
            "take --class_balance=loss. Received: batches",
        ),
        (
            "eval",
            "--class_balance=loss",
            "--class_balance is for fine-tuning and distillation",
        ),
    ],
)
def test_who_does_not_balance_classes(tmp_path, mode, text, message):
    flags = parse_overrides(text, "flags")
    flags |= {"mode": mode, "model_dir": str(tmp_path), "dataset": "x"}
    with pytest.raises(UserError) as error:
        from_flat(flags).check()
    assert message in str(error.value)


def test_distillation_with_labels_takes_the_loss(tmp_path):
    flags = parse_overrides(
        "--teacher=x --class_balance=loss --distillation_alpha=0.5", "flags"
    )
    from_flat({**flags, "mode": "distill", "model_dir": "x"}).check()
