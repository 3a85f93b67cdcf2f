"""Roles of each option: its readers, and changes of it in a resumed run."""

import dataclasses
import re
import types

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.config import (
    AugmentConfig,
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    OutputConfig,
    RunConfig,
    TrainConfig,
)
from tf_simclr.config.field import TRAINING
from tf_simclr.config.field import option as declare
from tf_simclr.config.flat import (
    command_words,
    from_flat,
    options,
    score_flags,
    to_flat,
)
from tf_simclr.config.reading import unread_flags
from tf_simclr.config.run import STAGES
from tf_simclr.errors import UserError
from tf_simclr.models.network import Architecture
from tf_simclr.modes.loaded import _with_stored_data
from tf_simclr.modes.pipeline import _part_config, _parts

MODES = (
    *(*STAGES, "pipeline", "eval", "embed", "export", "predict", "preview"),
    *("suggest", "label", "runs"),
)
# What a mode cannot be without.
NEEDED = {
    "finetune": {"checkpoint": "x"},
    "distill": {"teacher": "x"},
    "predict": {"images": "x"},
}
BY_NAME = {option.field.name: option for option in options()}


def parsed(line: str) -> Config:
    return cli.parse_config(["run.py", *line.split()])


def refusal(line: str) -> str:
    with pytest.raises(UserError) as error:
        parsed(f"--model_dir=x {line}").check()
    return str(error.value)


def other_value(option):
    """Some value that is not the default."""
    field = option.field
    choices = field.metadata["choices"]
    if choices:
        return next(x for x in choices if x != field.default)
    if option.type is bool:
        return not field.default
    if option.type is str:
        names = {"model": "r50_1x_sk1", "method": "supcon"}
        names |= {"group_by": "folder"}
        return names.get(field.name, "grpc://x:1")
    if field.name == "resnet_depth":
        return 18
    maximum = field.metadata["maximum"]
    if option.type is float and field.default:
        return field.default / 2
    return field.default + option.type(min(1, maximum or 1))


@pytest.mark.parametrize("name", BY_NAME)
def test_every_option_has_its_roles(name):
    role = BY_NAME[name].role
    assert role["on_resume"] in ("fixed", "told", "free")
    assert role["read_by"] and role["read_by"] <= {*MODES, "zoo"}
    for mode, meant in role["instead"].items():
        assert mode not in role["read_by"] or mode == "pipeline"
        assert mode in BY_NAME[meant].role["read_by"]


@pytest.mark.parametrize("missing", ["on_resume", "read_by"])
def test_an_option_declares_its_roles(missing):
    roles = {"on_resume": "free", "read_by": TRAINING}
    declare(1, "Help.", **roles)
    del roles[missing]
    with pytest.raises(TypeError, match=missing):
        declare(1, "Help.", **roles)


@pytest.mark.parametrize("name", BY_NAME)
def test_roles_of_an_option_agree(name):
    role = BY_NAME[name].role
    # A recipe without it would give another network.
    assert role["recipe"] or role["on_resume"] == "free"
    assert not role["identifies_score"] or "eval" in role["read_by"]
    trains = TRAINING & role["read_by"]
    assert trains or not (role["hparam"] or role["chooses_images"])
    if role["path"]:
        assert BY_NAME[name].type is str
        # What lies there is compared, not where it lies.
        assert role["on_resume"] == "free"


def test_flags_describe_the_whole_architecture():
    described = {option.role["describes"] for option in options()} - {None}
    # The stage and its data decide the rest.
    rest = {"kept_head_layers", "num_classes", "classifier_layer"}
    architecture = Architecture.for_pretraining(ModelConfig(), 32, 0)
    fields = {"backbone", *architecture.to_json()}
    assert described == fields - rest


def test_scores_of_some_batches_depend_on_their_size():
    assert "eval_batch_size" not in score_flags(Config())
    some = from_flat({"eval_steps": 1})
    assert set(score_flags(some)) - set(score_flags(Config())) == {
        "eval_batch_size"
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_option_is_read_or_refused(mode):
    for name, option in BY_NAME.items():
        value = other_value(option)
        if name in ("mode", "model_dir", "profile_steps"):
            continue
        given = {**NEEDED.get(mode, {}), name: value}
        config = from_flat({"mode": mode, "model_dir": "x", **given})
        found = {flag.option.field.name for flag in unread_flags(config)}
        role = option.role
        if mode not in role["read_by"]:
            assert (name in found) == (value not in role["idle"]), name
        elif not role["needs"]:
            assert name not in found, name
        if name in found:
            with pytest.raises(UserError, match=f"--{name} .*has no effect"):
                config.check()
            # Set for several modes at once, it is left out and named.
            shared = dataclasses.replace(config, shared=frozenset({name}))
            shared.check()
            assert f"--{name}." in shared.ignored


@pytest.mark.parametrize(
    "line, told",
    [
        (
            "--mode=distill --teacher=x --temperature=0.5",
            "--temperature is for pretraining and has no effect on"
            " distillation: leave it at 0.1, or give --distillation_temperature"
            ". Received: 0.5",
        ),
        (
            "--mode=pretrain --teacher=/no/such",
            "--teacher is for distillation and has no effect on pretraining:"
            " leave it out, or give --checkpoint. Received: /no/such",
        ),
        (
            "--mode=finetune --from_scratch --keep_head",
            "--keep_head has no effect with --from_scratch",
        ),
        ("--mode=eval --precision=mixed_bfloat16", "has no effect on --mode=e"),
        ("--mode=eval --train_batch_size=8", "or give --eval_batch_size"),
        ("--mode=embed --eval_split=test", "or give --embed_split"),
        ("--mode=predict --images=x --dataset=y", "or give --images"),
        ("--mode=pretrain --memory_momentum=0.9", "without --memory_size"),
        ("--mode=pretrain --nouse_blur --blur_sigma=per_batch", "--nouse_blur"),
        ("--mode=pretrain --train_mode=distill", "--mode is another stage"),
        ("--mode=pretrain --tpu_name=x", "without --use_tpu"),
        ("--mode=pretrain --map=tsne", "--map is for --mode=embed and"),
        ("--mode=pipeline --images=x", "no effect on a pipeline"),
        # An option of the original's spelling of the modes, but not its own.
        ("--mode=train --teacher=x", "--teacher is for distillation"),
    ],
)
def test_the_flag_that_was_meant_is_named(line, told):
    assert told in refusal(line)


@pytest.mark.parametrize(
    "line",
    [
        # They ask for no more than is done anyway.
        "--mode=finetune --from_scratch --color_jitter_strength=0 --nouse_blur",
        "--mode=eval --noexport --temperature=0.1 --precision=float32",
        "--mode=distill --teacher=x --train_mode=distill",
        "--mode=embed --strategy=multi_worker",
    ],
)
def test_what_asks_for_nothing_is_no_mistake(line, monkeypatch):
    monkeypatch.setenv(
        "TF_CONFIG",
        '{"cluster": {"worker": ["a:1", "b:1"]},'
        ' "task": {"type": "worker", "index": 0}}',
    )
    config = parsed(f"--model_dir=x {line}")
    config.check()
    assert config.ignored == ""


def test_flag_files_are_shared_between_modes(tmp_path):
    inner, outer = tmp_path / "inner.cfg", tmp_path / "outer.cfg"
    inner.write_text("--temperature=0.5\n--learning_rate=0.1\n")
    outer.write_text(f"--flagfile={inner}\n--map=tsne\n")
    line = f"--mode=distill --teacher=x --model_dir=x --flagfile={outer}"
    for text in (line, line.replace("--flagfile=", "--flagfile ")):
        config = parsed(text)
        config.check()
        told = "Without effect on distillation: --temperature, --map."
        assert config.ignored == told
    # Whoever repeats one on the command line means it.
    assert "--temperature is for" in refusal(f"{line} --temperature=0.5")


def test_where_nothing_is_trained_few_flags_of_a_recipe_are_named():
    config = parsed("--flagfile=flags/photos.cfg --mode=preview --dataset=x")
    assert config.ignored.startswith("Without effect on --mode=preview: --")
    assert config.ignored.count("--") == 4
    assert re.search(r" and \d+ more\.$", config.ignored)


def test_the_original_s_flags_pass_where_its_modes_are_used(capsys):
    line = "--mode=train --train_mode=finetune --checkpoint=x --model_dir=x"
    config = parsed(f"{line} --temperature=0.5")
    config.check()
    assert config.ignored == "Without effect on fine-tuning: --temperature."


def parts(**flags) -> dict[str, Config]:
    config = from_flat({"mode": "pipeline", "model_dir": "x", **flags})
    config.check()
    return {part.name: _part_config(config, part) for part in _parts(config)}


def test_common_flags_of_a_pipeline_are_shared_between_its_parts():
    common = {"temperature": 0.5, "keep_head": True, "momentum": 0.8}
    for config in parts(**common, optimizer="adam").values():
        config.check()
        # A command of the report is one that runs.
        alone = cli.parse_config(["run.py", *command_words(config)])
        alone.check()
        assert alone.ignored == ""


def test_flags_of_a_part_are_its_own():
    config = parts(distill_flags="--temperature=0.5")["distill"]
    with pytest.raises(UserError, match="--temperature is for pretraining"):
        config.check()
    with pytest.raises(UserError, match="may not hold --mode"):
        parts(finetune_flags="--mode=eval")


@pytest.mark.parametrize("path", sorted((tiny.ROOT / "flags").glob("*.cfg")))
def test_the_parts_of_recipes_read_their_own_flags(path):
    config = parsed(f"--flagfile={path} --model_dir=x")
    if config.run.mode == "pipeline":
        for part in _parts(config):
            _part_config(config, part).check()


BUILT = Config(
    data=DataConfig(dataset="mine", eval_split="test"),
    augment=AugmentConfig(use_blur=False),
    model=ModelConfig(model="r152_3x_sk1"),
    train=TrainConfig(seed=3),
)
LINE = (
    "--dataset=mine --eval_split=test --nouse_blur --model=r152_3x_sk1 --seed=3"
)


@pytest.mark.parametrize("mode", MODES)
def test_a_built_configuration_is_as_a_parsed_one(mode):
    needed = NEEDED.get(mode, {})
    flags = [f"--{name}={value}" for name, value in needed.items()]
    line = f"--mode={mode} --model_dir=x {' '.join(flags)} {LINE}"
    built = dataclasses.replace(
        BUILT,
        run=RunConfig(mode=mode, model_dir="x"),
        objective=ObjectiveConfig(
            **{k: v for k, v in needed.items() if k != "images"}
        ),
        output=OutputConfig(images=needed.get("images")),
    )
    found = parsed(line)
    assert built == found
    assert {"dataset", "resnet_depth", "model", "seed"} <= built.given
    messages = []
    for config in (built, found):
        try:
            config.check()
            messages.append("")
        except UserError as error:
            messages.append(str(error))
    assert messages[0] == messages[1]


def test_a_built_network_of_the_zoo():
    model = ModelConfig(model="r152_3x_sk1")
    assert model == from_flat({"model": "r152_3x_sk1"}).model
    assert (model.resnet_depth, model.width_multiplier) == (152, 3.0)
    with pytest.raises(UserError, match="contradicts --resnet_depth=18"):
        ModelConfig(model="r152_3x_sk1", resnet_depth=18)
    with pytest.raises(UserError, match="contradicts --resnet_depth=50"):
        from_flat({"resnet_depth": 50}, Config(model=model))
    with pytest.raises(UserError, match="--model takes one of"):
        ModelConfig(model="r51")


def test_stored_data_flags_give_way_to_those_of_a_built_configuration():
    theirs = {"dataset": "theirs", "eval_split": "train", "image_size": 8}
    stored = types.SimpleNamespace(
        config={**to_flat(Config()), **theirs}, record=None
    )
    for config in (BUILT, parsed(LINE)):
        found = _with_stored_data(config, stored)
        assert found.data.dataset == "mine"
        assert found.data.eval_split == "test"
        # What is taken over is not given, and can be set afterwards.
        assert found.data.image_size == 8
        assert "image_size" not in found.given
        assert found.given == config.given
        assert "image_size" in from_flat({"image_size": 8}, found).given
