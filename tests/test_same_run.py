"""Changes between two starts of a run, allowed and refused."""

import dataclasses

import pytest

from tf_simclr.config import Config, ModelConfig
from tf_simclr.config.flat import flags_with, from_flat, options, to_flat
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.training.run_record import (
    DatasetRecord,
    DerivedRecord,
    LabelsRecord,
    RunRecord,
    WeightsRecord,
)
from tf_simclr.training.same_run import continued, same_run

RECORD = RunRecord(
    stage="finetune",
    architecture=Architecture.for_pretraining(
        ModelConfig(resnet_depth=18), 8, 0
    ),
    dataset=DatasetRecord(
        name="fa/", train_split="train", ids="01234567", content="89abcdef"
    ),
    sources={"checkpoint": "step 7, 89abcdef"},
    config=to_flat(Config()),
    derived=DerivedRecord(total_steps=10, warmup_steps=2),
)
LABELS = {"count": 2, "label_seed": 0, "ids": ["a", "b"], "labels": [0, 1]}


def changed(part, record=RECORD, **values):
    old = getattr(record, part)
    if part == "architecture":
        encoder = dataclasses.replace(old.encoder, **values)
        new = dataclasses.replace(old, encoder=encoder)
    elif dataclasses.is_dataclass(old):
        new = dataclasses.replace(old, **values)
    else:
        new = {**old, **values}
    return dataclasses.replace(record, **{part: new})


def without_flag(name):
    config = {k: v for k, v in RECORD.config.items() if k != name}
    return dataclasses.replace(RECORD, config=config)


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


def test_of_other_images_the_images_are_told_first():
    """The number of classes follows from them."""
    other = changed("dataset", ids="0")
    shape = dataclasses.replace(other.architecture, num_classes=3)
    with pytest.raises(UserError, match="its dataset differs"):
        compare(dataclasses.replace(other, architecture=shape))


def test_the_stage_s_own_method_has_a_name():
    assert compare(changed("config", method="finetune")) == []
    # Of another stage, as in the common flags of a pipeline.
    assert compare(changed("config", method="supcon")) == []
    with pytest.raises(UserError, match="method is finetune, not mine:One"):
        compare(changed("config", method="mine:One"))


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
        compare(dataclasses.replace(RECORD, sources={}))


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
    [told] = compare(dataclasses.replace(RECORD, config=to_flat(config)))
    assert told == "changed    --learning_rate is 0.1, no longer 0.3"
    [told] = compare(changed("derived", total_steps=20, warmup_steps=4))
    assert "20 steps, no longer 10" in told and "warm-up (4 steps)" in told
    [told] = compare(changed("config", tf32=True))
    assert told == "changed    --tf32 is True, no longer False"
    # What an earlier version did not have has not changed.
    stored = without_flag("tf32")
    assert compare(changed("config", tf32=True), stored=stored) == []


def test_records_of_earlier_versions_lack_some_parts():
    stored = dataclasses.replace(
        RECORD,
        sources=None,
        dataset=DatasetRecord(name="digits"),
        config={"seed": 0},
    )
    assert compare(RECORD, stored=stored, stored_labels=None) == []
    assert same_run(stored, RECORD, in_place=True)


def test_what_no_flag_decides_alone_is_told():
    there = changed("versions", tensorflow="2.15", python="3.11")
    there = changed(
        "derived", there, precision="mixed_bfloat16", devices="1 GPU"
    )
    there = changed("config", there, precision="auto")
    assert compare(there, stored=there) == []
    here = changed("derived", there, precision="float32", devices="2 GPU")
    here = changed("versions", here, tensorflow="2.16")
    assert compare(here, stored=there) == [
        "changed    precision: float32, no longer mixed_bfloat16",
        "changed    devices: 2 GPU, no longer 1 GPU",
        "changed    versions: tensorflow 2.16, no longer 2.15",
    ]
    # Another flag is told once.
    here = changed("derived", there, precision="float32")
    here = changed("config", here, precision="float32")
    assert compare(here, stored=there) == [
        "changed    --precision is float32, no longer auto"
    ]
    # Records of earlier versions know nothing of it.
    here = dataclasses.replace(there, config=RECORD.config)
    assert compare(here, stored=RECORD) == []


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
        if RECORD.stage not in option.role["read_by"]:
            # Of another part of the same pipeline.
            assert compare(record) == [], name
        elif role == "fixed":
            with pytest.raises(UserError, match=f"{name} is .*, not another"):
                compare(record)
        else:
            assert len(compare(record)) == (role == "told"), name


def test_a_finished_pretraining_serves_other_flags_of_later_stages():
    old = dataclasses.replace(RECORD, stage="pretrain")
    for name in ("propagation", "propagate_labels", "fine_tune_after_block"):
        other = changed("config", old, **{name: "another"})
        assert compare(other, stored=old) == []
    other = changed("config", old, memory_size=8)
    with pytest.raises(UserError, match="memory_size is 0, not 8"):
        compare(other, stored=old)


def run_at(place, dataset=(), **config):
    found = {"name": "fa", "ids": "0", "content": "1", "class_names": ()}
    return RunRecord(
        stage="finetune",
        dataset=DatasetRecord(**found | dict(dataset)),
        labels=LabelsRecord(count=1),
        config={"seed": 0, "model_dir": str(place), **config},
    )


def test_a_run_is_itself_by_whatever_path(tmp_path):
    record = run_at(tmp_path / "a")
    (tmp_path / "mount").symlink_to(tmp_path)
    for other in (
        run_at(tmp_path / "a", {"name": "./fa/", "class_names": ("x",)}),
        run_at(tmp_path / "a", {"content": None}),
        run_at(tmp_path / "mount" / "a"),
        # As version 0.1.0 stored it.
        run_at(f"../{tmp_path.name}/a/"),
    ):
        assert same_run(other, record) and same_run(record, other)
    for other in (
        run_at(tmp_path / "a", {"ids": "1"}),
        run_at(tmp_path / "a", {"content": "2"}),
        run_at(tmp_path / "a", seed=1),
        run_at(tmp_path / "b"),
    ):
        assert not same_run(other, record)
    assert same_run(run_at("b"), record, in_place=True)
    assert not same_run(None, record)


@pytest.mark.parametrize("name", flags_with(on_resume="fixed"))
def test_a_run_that_cannot_be_continued_is_another_one(name):
    other = changed("config", **{name: "another"})
    (role,) = (o.role for o in options() if o.field.name == name)
    read = RECORD.stage in role["read_by"]
    assert same_run(other, RECORD, in_place=True) == (not read)
    assert same_run(without_flag(name), RECORD, in_place=True)
    told = changed("config", learning_rate=0.1)
    assert same_run(told, RECORD, in_place=True)


def test_a_run_from_other_weights_is_another_one():
    other = changed("sources", checkpoint="step 9, 0")
    assert not same_run(other, RECORD, in_place=True)


def test_weights_of_others_are_known_by_their_place(tmp_path):
    def record(path, **config):
        weights = WeightsRecord(kind="original", path=path)
        return RunRecord(stage="", weights=weights, config=config)

    first = record(str(tmp_path / "r50"))
    assert same_run(first, record("./r50"))
    assert not same_run(first, record(str(tmp_path / "r101")))
    assert not same_run(first, RunRecord(stage=""))
    # Flags of a training that a flag file holds as well.
    place = str(tmp_path / "r50")
    assert same_run(
        record(place, train_batch_size=8), record(place, train_batch_size=4)
    )
