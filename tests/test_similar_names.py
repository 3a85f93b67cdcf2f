"""Names like one that names nothing."""

import pytest

from tf_simclr import cli
from tf_simclr.errors import UserError
from tf_simclr.similar_names import path_meant


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with some names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "Photos").mkdir(parents=True)
    (tmp_path / "mine.cfg").write_text("--seed=1\n")
    return tmp_path


def test_names_of_the_same_folder_are_suggested(folder):
    assert path_meant("digts", ["digits"]) == " Did you mean digits?"
    assert path_meant("in/photo/") == " Did you mean in/Photos?"
    assert path_meant(f"{folder}/inn") == f" Did you mean {folder}/in?"
    assert path_meant("in/cifar10") == ""
    assert path_meant("none/digits", ["digits"]) == ""


@pytest.mark.parametrize(
    "word, meant",
    [("myne.cfg", "mine.cfg"), ("digts.cfg", "digits.cfg")],
)
def test_misspelt_flag_files(word, meant):
    with pytest.raises(UserError, match=f"Did you mean {meant}[?]"):
        cli.parse_config(["run.py", f"--flagfile={word}"])


@pytest.mark.parametrize(
    "line, meant",
    [
        ("--mode=predict --checkpoint=in --images=in/Photo", "in/Photos"),
        ("--mode=embed --dataset=digits --checkpoint=i", "in"),
        ("--mode=pretrain --dataset=in/Photoss", "in/Photos"),
    ],
)
def test_misspelt_paths(line, meant, capfd):
    assert cli.main(["run.py", *line.split(), "--model_dir=runs"]) == 2
    assert f" Did you mean {meant}?" in capfd.readouterr().err
