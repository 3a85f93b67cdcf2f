"""The command line: modes, recipes, names of the program, what is packaged."""

import importlib
import os
import pathlib
import runpy
import subprocess
import sys
import tomllib

import pytest
import setuptools
import tiny
from packaging.requirements import Requirement

import tf_simclr
from tf_simclr import cli, process
from tf_simclr.config import Config, RunConfig
from tf_simclr.errors import UserError
from tf_simclr.recipes import recipes

FLAG_FILES = sorted((tiny.ROOT / "flags").glob("*.cfg"))
PROJECT = tomllib.loads((tiny.ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(autouse=True)
def _same_program(monkeypatch):
    """The program's name is that of the process: it is put back."""
    monkeypatch.setattr(process, "_program", process.program())


def parse(*words: str) -> Config:
    return cli.parse_config(["run.py", *words])


def test_every_mode_has_its_function():
    choices = RunConfig.__dataclass_fields__["mode"].metadata["choices"]
    # The first two stand for a stage; the zoo is a table.
    assert {"train", "train_then_eval", "zoo", *cli._MODES} == set(choices)
    for target in cli._MODES.values():
        module, _, name = target.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_flag_file_is_a_recipe():
    assert list(recipes().values()) == FLAG_FILES
    assert "digits" in recipes()
    assert all(name in cli.usage().replace("\n", " ") for name in recipes())


@pytest.mark.parametrize("name", [path.stem for path in FLAG_FILES])
def test_a_recipe_is_its_flag_file(name, monkeypatch, tmp_path):
    whole = parse(f"--flagfile={tiny.ROOT / 'flags' / name}.cfg")
    monkeypatch.chdir(tmp_path)
    for words in (
        [f"--recipe={name}"],
        ["--recipe", name],
        [f"--flagfile={name}.cfg"],
        ["--flagfile", f"flags/{name}.cfg"],
    ):
        assert parse(*words) == whole


def test_flags_beside_a_recipe_win_wherever_they_stand():
    words = "--recipe=digits", "--resnet_depth=34", "--label_seed", "3"
    for order in (words, (*words[1:], words[0])):
        config = parse(*order)
        assert (config.model.resnet_depth, config.data.label_seed) == (34, 3)
        assert config.data.dataset == "digits"
        assert {"dataset"} <= config.shared
        assert not {"resnet_depth", "label_seed"} & config.shared
    file = tiny.ROOT / "flags" / "digits.cfg"
    config = Config.from_flags(["--resnet_depth=34", f"--flagfile={file}"])
    assert config.model.resnet_depth == 34


def test_the_last_flag_file_wins_and_those_it_names_stand_in_their_place(
    tmp_path,
):
    first, second = tmp_path / "first.cfg", tmp_path / "second.cfg"
    first.write_text("--label_seed=1\n--seed=1\n")
    second.write_text(f"--label_seed=2\n--flagfile={first}\n--seed=2\n")
    config = parse(f"--flagfile={first}", f"--flagfile={second}")
    assert (config.data.label_seed, config.train.seed) == (1, 2)
    config = parse(f"--flagfile={second}", f"--flagfile={first}")
    assert (config.data.label_seed, config.train.seed) == (1, 1)


def test_a_flag_file_of_ones_own_wins(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.cfg").write_text("--dataset=mine\n")
    assert parse("--flagfile=digits.cfg").data.dataset == "mine"
    assert parse("--recipe=digits").data.dataset == "digits"
    # In any other folder there is none.
    with pytest.raises(UserError, match=r"other/digits\.cfg"):
        parse("--flagfile=other/digits.cfg")


@pytest.mark.parametrize("words", [["--recipe=digit"], ["--recipe"]])
def test_unknown_recipes_are_refused_with_those_that_exist(words):
    with pytest.raises(UserError, match="takes one of cifar10_l.*, stl10[.]"):
        parse(*words)


def test_a_recipe_in_a_flag_file_is_refused(tmp_path):
    file = tmp_path / "mine.cfg"
    file.write_text("--recipe=digits\n")
    with pytest.raises(UserError, match="not in a flag file"):
        parse(f"--flagfile={file}")


@pytest.mark.parametrize(
    "path, name, command",
    [
        ("run.py", "run.py", "python run.py"),
        ("/clone/run.py", "run.py", "python run.py"),
        ("/bin/tf-simclr", "tf-simclr", "tf-simclr"),
        ("/package/__main__.py", "tf-simclr", "tf-simclr"),
    ],
)
def test_messages_begin_with_the_program(path, name, command, capsys):
    assert cli.main([path, "--bogus=1"]) == 2
    assert capsys.readouterr().err.startswith(f"{name}: Unknown command line")
    assert cli.main([path, "--help"]) == 0
    assert f"\n  {command} --recipe=digits " in capsys.readouterr().out


@pytest.mark.parametrize(
    "program, name",
    [(["run.py"], "run.py"), (["-m", "tf_simclr"], "tf-simclr")],
)
def test_it_starts_from_any_folder(program, name, tmp_path):
    if program[0] == "run.py":
        program = [str(tiny.RUN)]

    def start(*flags):
        return subprocess.run(
            [sys.executable, *program, *flags],
            env={**os.environ, "PYTHONPATH": str(tiny.ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    zoo = start("--mode=zoo")
    assert (zoo.returncode, zoo.stderr) == (0, "")
    assert "| r50_1x_sk0 |" in zoo.stdout
    refused = start("--recipe=nothing")
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{name}: --recipe takes one of cifar10")
    assert list(tmp_path.iterdir()) == []


def test_flags_of_the_original_come_last_in_the_help():
    groups = [option.group for option in cli.options()]
    first = groups.index("compat")
    assert set(groups[first:]) == {"compat"}
    text = cli.help_text()
    title = "Accepted so that the original's commands run as they are."
    assert text.index(title) > text.index("--model_dir")
    assert "--use_tpu" in text[text.index(title) :]


def test_the_console_script_is_the_command_line():
    assert PROJECT["scripts"] == {"tf-simclr": "tf_simclr.cli:main"}
    assert PROJECT["version"] == tf_simclr.__version__


def test_all_of_the_package_is_installed(monkeypatch):
    found = {}
    monkeypatch.setattr(setuptools, "setup", found.update)
    monkeypatch.chdir(tiny.ROOT)
    runpy.run_path("setup.py")
    sources = pathlib.Path("tf_simclr").rglob("*.py")
    folders = {path.parent.as_posix().replace("/", ".") for path in sources}
    assert set(found["packages"]) == folders | {"tf_simclr.flags"}
    assert found["package_dir"] == {"tf_simclr.flags": "flags"}
    assert found["package_data"]["tf_simclr.flags"] == ["*.cfg"]
    for name in found["package_data"]["tf_simclr"]:
        assert pathlib.Path("tf_simclr", name).exists()


def test_constraints_pin_what_the_package_asks_for():
    lines = (tiny.ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    pinned = {_normal(pin.name): str(pin.specifier) for pin in pins}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["addons"], *extras["export"]]
    for requirement in map(Requirement, asked):
        pin = pinned[_normal(requirement.name)]
        assert pin.startswith("==")
        assert requirement.specifier.contains(pin[2:], prereleases=True)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")
