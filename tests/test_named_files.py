"""Every file that a flag names may be missing, a folder, or nonsense: exit code
2, one sentence that names it, and nothing is written."""

import numpy as np
import pytest
import tiny

from tf_simclr.cli import main

pytestmark = pytest.mark.usefixtures("one_block")

BAD = ("missing", "a folder", "noise", "latin-1", "empty", "json", "an archive")
# Flag -> the rest of the command. {} is a folder with data and a run.
COMMANDS = {
    "label_ids": "--mode=finetune --from_scratch --dataset={}/tiny.npz",
    "checkpoint": "--mode=finetune --dataset={}/tiny.npz",
    "teacher": "--mode=distill --dataset={}/tiny.npz",
    "dataset": "--mode=pretrain",
    "unlabeled_dataset": "--mode=pretrain --dataset={}/tiny.npz",
    "images": "--mode=predict --checkpoint={}/run",
    "class_names_file": "--mode=export --checkpoint={}/run",
    "neighbours_of": "--mode=embed --checkpoint={}/run",
    "flagfile": "--mode=pretrain --dataset={}/tiny.npz",
    "backbone_weights": "--mode=pretrain --dataset={}/tiny.npz"
    " --backbone=convnext_tiny",
}
# Commands that read a network back take none of the tiny network's flags.
LOADING = ("images", "class_names_file", "neighbours_of")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("named")
    tiny.write_npz(place)
    noise = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8)
    (place / "a folder").mkdir()
    (place / "noise").write_bytes(noise.tobytes())
    (place / "latin-1").write_bytes("café\n".encode("latin-1"))
    (place / "empty").touch()
    (place / "json").write_text('{"a": [1, 2]}')
    (place / "an archive").write_bytes(b"PK\x05\x06" + b"\0" * 18)
    words = COMMANDS["label_ids"].format(place).split()
    flags = [*tiny.FLAGS, "--train_epochs=1", f"--model_dir={place}/run"]
    assert main(["run.py", *words, *flags]) == 0
    return place


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("flag", COMMANDS)
def test_what_cannot_be_read_is_named(folder, tmp_path, capsys, flag, what):
    words = COMMANDS[flag].format(folder).split()
    if flag == "backbone_weights":
        words += [*tiny.SCHEDULE, "--image_size=32"]
    elif flag not in LOADING:
        words += tiny.FLAGS
    named, target = folder / what, tmp_path / "out"
    words += [f"--{flag}={named}", f"--model_dir={target}"]
    capsys.readouterr()
    if (flag, what) == ("flagfile", "empty"):
        pytest.skip("an empty flag file is one")
    assert main(["run.py", *words]) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0 and message.startswith("run.py: ")
    assert flag in message or what in message
    assert not target.exists()
