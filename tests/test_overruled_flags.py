"""Flags that strings of a pipeline's parts overrule."""

from tf_simclr import cli
from tf_simclr.config import Config
from tf_simclr.modes.overruled_flags import overruled_lines

STRINGS = {
    "pretrain": {"train_epochs": 100, "learning_rate": 0.1},
    "finetune": {"train_steps": 30},
    "distill": {"train_epochs": 10},
}


def test_flags_with_another_value_in_a_string_are_told():
    config = Config.from_flags(
        ["--mode=pipeline", "--train_epochs=10", "--learning_rate=0.1"]
    )
    assert overruled_lines(config, STRINGS) == [
        "--train_epochs=10 does not reach pretrain, finetune: --pretrain_flags,"
        " --finetune_flags win over it."
    ]
    config = Config.from_flags(["--mode=pipeline", "--learning_rate=0.3"])
    [line] = overruled_lines(config, STRINGS)
    assert line.endswith("--pretrain_flags wins over it.")


def test_flags_of_a_flag_file_go_without_saying(tmp_path):
    file = tmp_path / "flags.cfg"
    file.write_text("--mode=pipeline\n--train_epochs=10\n")
    config = cli.parse_config(["run.py", f"--flagfile={file}"])
    assert not overruled_lines(config, STRINGS)
    config = cli.parse_config(
        ["run.py", f"--flagfile={file}", "--train_epochs=20"]
    )
    [line] = overruled_lines(config, STRINGS)
    assert line.startswith("--train_epochs=20 does not reach pretrain")
