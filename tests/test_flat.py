"""Configuration as flags: one source, checked everywhere."""

import dataclasses
import subprocess

import pytest

from tf_simclr.config import Config, ModelConfig
from tf_simclr.config.flat import (
    from_flat,
    options,
    parse_overrides,
    to_flat,
)
from tf_simclr.errors import UserError


def test_names_are_unique_and_helped():
    names = [option.field.name for option in options()]
    assert len(names) == len(set(names))
    for option in options():
        assert len(option.field.metadata["help"]) > 15, option.field.name
        assert option.type in (bool, int, float, str)


def test_round_trip():
    config = from_flat({"resnet_depth": 18, "dataset": "digits"})
    assert config.given == {"resnet_depth", "dataset"}
    assert from_flat(to_flat(config)).model == config.model


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.resnet_depth = 18


@pytest.mark.parametrize(
    "values, message",
    [
        ({"resnet_depth": 19}, "must be one of 18, 34"),
        ({"width_multiplier": 0.0}, "greater than 0"),
        ({"temperature": float("nan")}, "must be a number"),
        ({"optimizer": "sgd"}, "must be one of momentum"),
        ({"distillation_alpha": 1.5}, "at most 1"),
        ({"train_batch_size": 0}, "at least 1"),
        ({"labels_per_class": 4, "label_fraction": 0.1}, "give one of them"),
    ],
)
def test_values_out_of_bounds_are_named(values, message):
    with pytest.raises(UserError, match=message):
        from_flat(values)


def test_overrides_read_like_flags():
    text = "--train_epochs=5 --nouse_blur --learning_rate=0.1 --self_distill"
    assert parse_overrides(text, "x_flags") == {
        "train_epochs": 5,
        "use_blur": False,
        "learning_rate": 0.1,
        "self_distill": True,
    }
    quoted = parse_overrides(
        "--train_split='train[:80%]' --cache_dataset=false", "x"
    )
    assert quoted == {"train_split": "train[:80%]", "cache_dataset": False}


@pytest.mark.parametrize(
    "text",
    ["--bogus=1", "train_epochs=5", "--train_epochs=x", "--train_epochs"],
)
def test_bad_overrides_are_named(text):
    with pytest.raises(UserError, match="Received"):
        parse_overrides(text, "finetune_flags")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"mode": "finetune"}, "--checkpoint"),
        ({"mode": "distill"}, "--teacher"),
        (
            {"mode": "finetune", "checkpoint": "x", "from_scratch": True},
            "contradict",
        ),
        ({"mode": "pretrain", "fine_tune_after_block": 2}, "leave it at -1"),
        ({"mode": "pretrain", "ft_proj_selector": 4}, "beyond the projection"),
        ({"mode": "pretrain", "train_batch_size": 1}, "at least 2"),
    ],
)
def test_combinations_that_cannot_work(values, message):
    with pytest.raises(UserError, match=message):
        from_flat({"model_dir": "runs/x", **values}).check()


def test_model_dir_is_needed():
    with pytest.raises(UserError, match="--model_dir"):
        Config().check()


def test_head_layers():
    assert ModelConfig(proj_head_mode="none").head_layers == 0
    assert ModelConfig(proj_head_mode="linear").head_layers == 1
    assert (
        ModelConfig(num_proj_layers=4, ft_proj_selector=-1).selected_layer == 4
    )


def test_the_library_reads_no_flags():
    found = subprocess.run(
        ["git", "grep", "-lE", r"absl|FLAGS\.", "--", "tf_simclr"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout == ""
