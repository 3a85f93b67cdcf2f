"""What may change between two starts of a run, and what may not."""

import copy

import pytest

from tf_simclr.config import Config
from tf_simclr.config.flat import from_flat, to_flat
from tf_simclr.errors import UserError
from tf_simclr.training.same_run import continued

RECORD = {
    "stage": "finetune",
    "architecture": {"depth": 18, "width_multiplier": 1},
    "dataset": {"name": "digits", "ids": "01234567"},
    "sources": {"checkpoint": "step 7, 89abcdef"},
    "config": to_flat(Config()),
    "derived": {"total_steps": 10, "warmup_steps": 2},
}
LABELS = {"count": 2, "label_seed": 0, "ids": ["a", "b"], "labels": [0, 1]}


def changed(part, **values):
    record = copy.deepcopy(RECORD)
    record[part] = {**record[part], **values}
    return record


def compare(record, labels=LABELS, stored=RECORD, stored_labels=LABELS):
    return continued("runs/first", stored, record, stored_labels, labels)


def test_the_same_command_goes_on_silently():
    assert compare(RECORD) == []


@pytest.mark.parametrize(
    "part, change, told",
    [
        ("architecture", {"depth": 34}, "depth is 18, not 34"),
        ("dataset", {"name": "mnist"}, "name is digits, not mnist"),
        ("dataset", {"ids": "0"}, "ids is 01234567, not 0"),
        (
            "sources",
            {"checkpoint": "step 9, 0"},
            "checkpoint is step 7, 89abcdef, not step 9, 0",
        ),
        ("sources", {"teacher": "step 1, 0"}, "teacher is None, not step 1"),
        ("config", {"seed": 1}, "seed is 0, not 1"),
        ("config", {"train_batch_size": 8}, "train_batch_size is 512, not 8"),
        ("config", {"optimizer": "adam"}, "optimizer is lars, not adam"),
    ],
)
def test_another_run_is_refused_with_both_values(part, change, told):
    with pytest.raises(UserError) as error:
        compare(changed(part, **change))
    assert "--model_dir=runs/first holds another run" in str(error.value)
    assert told in str(error.value)


def test_a_start_cannot_be_left_out():
    # As with --from_scratch instead of --checkpoint.
    with pytest.raises(UserError, match="checkpoint is step 7.*, not None"):
        compare({**RECORD, "sources": {}})


def test_other_labels_are_refused_whatever_drew_them():
    other = {**LABELS, "label_seed": 1}
    # Another seed that draws the same images is the same subset.
    assert compare(RECORD, other) == []
    other = {**other, "ids": ["a", "c"]}
    with pytest.raises(UserError) as error:
        compare(RECORD, other)
    assert (
        "labelled subset differs (2 images of --label_seed=0 with 'b' in class"
        " 1, not 2 images of --label_seed=1 with 'c' in class 1)"
    ) in str(error.value)
    shorter = {"count": 1, "label_seed": 0, "ids": ["a"], "labels": [0]}
    with pytest.raises(UserError, match="not 1 images of --label_seed=0\\)"):
        compare(RECORD, shorter)


def test_what_may_change_is_told():
    config = from_flat({"learning_rate": 0.1, "checkpoint": "elsewhere"})
    [told] = compare({**RECORD, "config": to_flat(config)})
    assert told == "changed    --learning_rate is 0.1, no longer 0.3"
    [told] = compare(changed("derived", total_steps=20, warmup_steps=4))
    assert "20 steps, no longer 10" in told and "warm-up (4 steps)" in told
    [told] = compare(changed("config", tf32=True))
    assert told == "changed    --tf32 is True, no longer False"
    # What an earlier version did not have has not changed.
    stored = copy.deepcopy(RECORD)
    del stored["config"]["tf32"]
    assert compare(changed("config", tf32=True), stored=stored) == []


def test_records_of_earlier_versions_lack_some_parts():
    stored = {k: v for k, v in RECORD.items() if k != "sources"}
    stored["dataset"] = {"name": "digits"}
    stored["config"] = {"seed": 0}
    assert compare(RECORD, stored=stored, stored_labels=None) == []
