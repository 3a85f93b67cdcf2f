"""A configuration that is built in Python is as good as a command line."""

import pathlib
import shutil

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.config import (
    AugmentConfig,
    Config,
    DataConfig,
    ModelConfig,
    ObjectiveConfig,
    RunConfig,
)
from tf_simclr.config.flat import from_flat
from tf_simclr.errors import UserError
from tf_simclr.modes.loaded import load_network

RUNS = pathlib.Path(__file__).parent / "earlier_runs"


def parsed(*flags: str) -> Config:
    return cli.parse_config(["run.py", *flags])


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--mode=finetune", "--nouse_blur", "--learning_rate=1e-2"],
        ["--train_split=train[: 80%]", "--export=false", "--self_distill"],
        ["--model=r152_3x_sk1", "--seed=1", "--seed=3"],
        ["--finetune_flags=--train_epochs=6 --learning_rate=0.1"],
    ],
)
def test_flags_are_read_as_on_the_command_line(flags):
    assert Config.from_flags(flags) == parsed(*flags)


@pytest.mark.parametrize("path", sorted((tiny.ROOT / "flags").glob("*.cfg")))
def test_recipes_are_read_as_on_the_command_line(path):
    flags = [f"--flagfile={path}", "--model_dir=x", "--train_epochs=3"]
    assert Config.from_flags(flags) == parsed(*flags)


def test_flag_files_stand_where_they_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "# A comment.\n\n//Another one.\n--seed=1\n--flagfile=b.cfg\n"
    pathlib.Path("a.cfg").write_text(f"{text}--train_epochs=2\n--map=tsne\n")
    # One that names itself is read once.
    pathlib.Path("b.cfg").write_text("  --seed=2  \n--flagfile=a.cfg\n")
    for flags in (
        ["--flagfile=a.cfg"],
        ["--flagfile=a.cfg", "--seed=3"],
        ["--seed=3", "--map=pca", "--flagfile=a.cfg"],
    ):
        found = Config.from_flags(flags)
        assert found == parsed(*flags)
        assert found.train.seed == (3 if "--seed=3" in flags else 2)
    assert Config.from_flags(["--flagfile=a.cfg"]).shared == {
        "seed",
        "train_epochs",
        "map",
    }


@pytest.mark.parametrize(
    "flag, told",
    [
        (
            "--train_epoch=1",
            "Config.from_flags takes an unknown command line flag"
            " 'train_epoch'. Did you mean: train_epochs ? Received: --train_e",
        ),
        ("seed=1", "takes flags such as --train_epochs=60, each a string of"),
        ("--seed", "takes flags such as --train_epochs=60, each a string of"),
        ("--seed=x", "--seed takes a value of type int. Received: --seed=x"),
        ("--seed=-1", "--seed must be at least 0. Received: -1"),
        ("--flagfile=none.cfg", "--flagfile=none.cfg cannot be read: "),
        ("--flagfile=bad.cfg", "--flagfile=bad.cfg holds flags, written --"),
    ],
)
def test_flags_that_cannot_be_are_named(tmp_path, monkeypatch, flag, told):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("bad.cfg").write_text("--seed\n1\n")
    with pytest.raises(UserError) as error:
        Config.from_flags([flag])
    assert told in str(error.value)


def test_a_group_that_is_none_is_named():
    with pytest.raises(UserError) as error:
        Config(data="mine")
    assert str(error.value) == (
        "Config takes a DataConfig as data. Received: 'mine'"
    )
    with pytest.raises(UserError, match="a ModelConfig as model"):
        Config(model=DataConfig())


def both(place, mode, data=None, model=None):
    """A configuration that is built, and the one of the same flags."""
    data, model = data or {}, model or {}
    built = Config(
        run=RunConfig(mode=mode, model_dir=str(place / "out")),
        data=DataConfig(**data),
        model=ModelConfig(**model),
        objective=ObjectiveConfig(checkpoint=str(place / "finetuned")),
    )
    flags = [f"--mode={mode}", f"--model_dir={place}/out"]
    flags += [f"--{name}={value}" for name, value in {**data, **model}.items()]
    return built, Config.from_flags([*flags, f"--checkpoint={place}/finetuned"])


@pytest.mark.parametrize("mode", ["eval", "embed", "export"])
def test_stored_weights_and_built_configurations(tmp_path, mode):
    shutil.copytree(RUNS / "finetuned", tmp_path / "finetuned")
    split = "embed_split" if mode == "embed" else "train_split"
    for config in both(tmp_path, mode, {"dataset": "mine", split: "all"}):
        config.check()
        data = load_network(config).config.data
        assert (data.dataset, getattr(data, split)) == ("mine", "all")
        # That of the weights.
        assert data.image_size == 8
    for model, told in (
        ({"resnet_depth": 34}, "--resnet_depth contradicts the weights"),
        ({"model": "r50_1x_sk1"}, "--resnet_depth contradicts the weights"),
        ({"stem": "imagenet"}, "they have cifar_stem True"),
    ):
        for config in both(tmp_path, mode, model=model):
            with pytest.raises(UserError, match=told):
                load_network(config)


def test_a_run_does_not_lie_among_its_images(tmp_path):
    flags = {"mode": "pretrain", "dataset": str(tmp_path)}
    from_flat({**flags, "model_dir": str(tmp_path / "runs")}).check()
    with pytest.raises(UserError, match="is the folder of --dataset"):
        same = f"{tmp_path}/../{tmp_path.name}"
        from_flat({**flags, "model_dir": same}).check()


@pytest.mark.parametrize(
    "flag, on_gpu, made",
    [
        ("auto", True, "device"),
        ("auto", False, "host"),
        ("host", True, "host"),
        ("device", False, "device"),
    ],
)
def test_views_are_made_where_it_is_likely_to_be_fast(flag, on_gpu, made):
    config = AugmentConfig(augment_on=flag)
    assert config.placed(on_device=on_gpu).augment_on == made
