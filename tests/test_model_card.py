"""The recipe on a model card is a command that can be given."""

import shlex

import pytest

from tf_simclr.cli import parse_config
from tf_simclr.config.flat import to_flat
from tf_simclr.config.run import Config
from tf_simclr.training.run_record import RunRecord
from tf_simclr.weights.export.model_card import recipe_section


def command(flags: list[str], stage: str) -> list[str]:
    config = to_flat(Config.from_flags(flags))
    record = RunRecord(stage=stage, config=config)
    text = recipe_section(record).strip("`").removeprefix("bash")
    return [x for x in shlex.split(text) if x.strip()]


@pytest.mark.parametrize("stage", ["pretrain", "finetune", "distill"])
@pytest.mark.parametrize("recipe", ["photos", "digits", "fashion_mnist"])
def test_the_recipe_of_a_part_of_a_pipeline_is_accepted(stage, recipe):
    given = [f"--flagfile=flags/{recipe}.cfg", "--teacher=runs/teacher"]
    given += ["--checkpoint=runs/pretrained"]
    words = command(given, stage)
    assert f"--mode={stage}" in words and words[0] == "python"
    config = parse_config(words[1:])
    config.check()
    stated = Config.from_flags(given)
    assert config.data.dataset == stated.data.dataset
    assert config.augment.crop_min_area == stated.augment.crop_min_area
    assert config.pipeline == Config().pipeline


def test_flags_of_other_versions_are_left_out():
    record = RunRecord(
        stage="finetune",
        config={"was_once": 3, "train_epochs": 7, "use_blur": True},
    )
    section = recipe_section(record)
    assert "--train_epochs=7" in section and "was_once" not in section


def test_weights_of_no_run_have_no_recipe():
    assert recipe_section(RunRecord(stage="")) == ""
