"""Configuration as flags: one source, checked everywhere."""

import dataclasses
import json
import math
import pathlib
import random
import subprocess

import numpy as np
import pytest
from absl.flags import _helpers as absl_helpers

from tf_simclr import cli
from tf_simclr.config import Config, DataConfig, ModelConfig
from tf_simclr.config.flat import (
    from_flat,
    options,
    parse_overrides,
    suggestions,
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


# No option takes any of these, whatever its type is.
ABSURD = [
    math.inf,
    -math.inf,
    math.nan,
    1e300,
    -1e-9,
    1e-320,
    10**30,
    2**63,
    -(2**63),
    [1],
    b"bytes",
]
OF_TYPE = {
    int: [5.0, 5.5, "5", True, None],
    float: ["0.5", True, None],
    bool: [0, 1, "true", None],
    str: [5, 0.5, True],
}


@pytest.mark.parametrize("option", list(options()), ids=lambda o: o.field.name)
def test_absurd_values_and_other_types_are_refused(option):
    name = option.field.name
    for value in [*ABSURD, *OF_TYPE[option.type]]:
        if name == "learning_rate" and value in (10**30, 2**63):
            # They break a run, which says so.
            continue
        with pytest.raises(UserError, match=f"--{name} .*Received: "):
            from_flat({name: value})


@pytest.mark.parametrize(
    "flag",
    [
        "--width_multiplier=1e-9",
        "--seed=4294967296",
        "--label_seed=4294967296",
        "--train_steps=9223372036854775808",
        "--checkpoint_steps=9223372036854775807",
        "--train_epochs=9223372036854775807",
        "--eval_steps=9223372036854775807",
        "--learning_rate=inf",
        "--warmup_epochs=1e300",
        "--weight_decay=nan",
        "--temperature=1e-300",
        "--distillation_temperature=1e300",
        "--image_size=100000",
    ],
)
def test_the_command_line_refuses_absurd_numbers(flag):
    name = flag.partition("=")[0]
    with pytest.raises(UserError, match=f"{name} .*Received: "):
        cli.parse_config(["run.py", flag])


def test_the_largest_numbers_are_taken():
    seed = 2**32 - 1
    config = from_flat({"seed": seed, "label_seed": seed, "train_steps": 10**9})
    assert (config.train.seed, config.data.label_seed) == (seed, seed)


def test_every_default_is_within_its_bounds():
    defaults = to_flat(Config())
    assert to_flat(from_flat(defaults)) == defaults


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_string_is_no_value(value):
    for option in options():
        name, metadata = option.field.name, option.field.metadata
        if option.type is str and option.field.default == "":
            assert to_flat(from_flat({name: ""}))[name] == ""
        elif option.type is str and not metadata["choices"]:
            with pytest.raises(UserError, match=f"--{name} .*Received: "):
                cli.parse_config(["run.py", f"--{name}={value}"])
    with pytest.raises(UserError, match="--label_ids is empty: give it a val"):
        DataConfig(label_ids="")


def test_numpy_numbers_and_paths_become_plain():
    values = {
        "train_epochs": np.int64(5),
        "learning_rate": np.float32(0.5),
        "width_multiplier": 2,
        "dataset": pathlib.Path("photos"),
    }
    found = to_flat(from_flat(values))
    json.dumps(found)
    assert [found[name] for name in values] == [5, 0.5, 2.0, "photos"]
    assert type(found["width_multiplier"]) is float


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
    [
        "--bogus=1",
        "train_epochs=5",
        "--train_epochs=x",
        "--train_epochs",
        "--dataset",
        "--nodataset",
        "--nouse_blur=1",
    ],
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


def test_typos_in_overrides_get_the_command_lines_suggestions():
    for typo in ("train_epoch", "lerning_rate", "ft_proj", "nouse_blurr"):
        with pytest.raises(UserError) as expected:
            cli.parse_config(["run.py", f"--{typo}=1"])
        meant = str(expected.value).partition("?")[0].partition("Did ")[2]
        with pytest.raises(UserError) as error:
            parse_overrides(f"--{typo}=1", "finetune_flags")
        assert f"command line flag '{typo}'. Did {meant}?" in str(error.value)


def test_suggestions_are_those_of_absl():
    names = [option.field.name for option in options()]
    rng = random.Random(0)
    attempts = ["", "ab", "xyzzy", "colr_jitter", "use_bulr", "train_batch"]
    for name in rng.sample(names, 15):
        letters = list(name)
        for _ in range(2):
            letters[rng.randrange(len(letters))] = rng.choice("aeo_")
        attempts.append("".join(letters))
        attempts.append(name[1:])
    for attempt in attempts:
        expected = absl_helpers.get_flag_suggestions(attempt, names)
        assert suggestions(attempt, names) == expected, attempt


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "distill"])
def test_a_training_without_a_step_is_refused(stage):
    needed = {"from_scratch": True} if stage == "finetune" else {}
    values = {"mode": stage, "model_dir": "x", "train_epochs": 0, **needed}
    with pytest.raises(UserError, match="--train_epochs=0 trains nothing"):
        from_flat(values).check()
    if stage == "distill":
        values["teacher"] = "y"
    from_flat({**values, "train_steps": 5}).check()
    # Nothing is trained there; a flag file may say so to all modes.
    shared = {**values, "mode": "eval"}
    from_flat(shared, shared=shared).check()


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
    assert found.stdout.split() == ["tf_simclr/cli.py"]
