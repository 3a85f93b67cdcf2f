"""What may change between two starts of a run, and what may not."""

import copy

import pytest

from tf_simclr.config import Config
from tf_simclr.config.flat import from_flat, options, to_flat
from tf_simclr.errors import UserError
from tf_simclr.training.same_run import continued

RECORD = {
    "stage": "finetune",
    "architecture": {"depth": 18, "width_multiplier": 1},
    "dataset": {
        "name": "fa/",
        "train_split": "train",
        "ids": "01234567",
        "content": "89abcdef",
    },
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
        ("dataset", {"ids": "0"}, "ids is 01234567, not 0"),
        ("dataset", {"content": "0"}, "content is 89abcdef, not 0"),
        (
            "dataset",
            {"name": "mnist", "ids": "0"},
            "name is fa/, not mnist; ids is 01234567, not 0)",
        ),
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
    assert str(error.value).endswith("). Choose a new directory.") == (
        part != "config"
    )
    assert told in str(error.value)


def test_the_same_images_may_go_by_another_name():
    again = changed("dataset", name="/data/fa", train_split="train[0:]")
    assert compare(again) == []
    # Not known to one of the two.
    assert compare(changed("dataset", content=None)) == []
    paths = {"dataset": "/data/fa", "label_ids": "x", "teacher": "y"}
    assert compare(changed("config", **paths)) == []


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


def test_what_no_flag_decides_alone_is_told():
    there = copy.deepcopy(RECORD)
    there |= {"versions": {"tensorflow": "2.15", "python": "3.11"}}
    there["derived"] |= {"precision": "mixed_bfloat16", "devices": "1 GPU"}
    there["config"]["precision"] = "auto"
    here = copy.deepcopy(there)
    assert compare(here, stored=there) == []
    here["derived"] |= {"precision": "float32", "devices": "2 GPU"}
    here["versions"]["tensorflow"] = "2.16"
    assert compare(here, stored=there) == [
        "changed    precision: float32, no longer mixed_bfloat16",
        "changed    devices: 2 GPU, no longer 1 GPU",
        "changed    versions: tensorflow 2.16, no longer 2.15",
    ]
    # Another flag is told once.
    here = copy.deepcopy(there)
    here["config"]["precision"] = here["derived"]["precision"] = "float32"
    assert compare(here, stored=there) == [
        "changed    --precision is float32, no longer auto"
    ]
    # Records of earlier versions know nothing of it.
    assert compare({**there, "config": RECORD["config"]}, stored=RECORD) == []


@pytest.mark.parametrize(
    "name, value",
    [("micro_batch_size", 4), ("logical_devices", 2), ("strategy", "mirrored")],
)
def test_how_a_batch_is_divided_is_told(name, value):
    [told] = compare(changed("config", **{name: value}))
    assert told.startswith(f"changed    --{name} is {value}, no longer ")


def test_options_are_refused_told_or_free_as_they_say():
    for option in options():
        name, other = option.field.name, "another"
        record = changed("config", **{name: other})
        role = option.role["on_resume"]
        if role == "fixed":
            with pytest.raises(UserError, match=f"{name} is .*, not another"):
                compare(record)
        else:
            assert len(compare(record)) == (role == "told"), name
