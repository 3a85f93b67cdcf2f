"""The Python of docs/python.md runs, with a few steps of training."""

import os
import re
import sys

import pytest
import tiny

import tf_simclr as ts
from tf_simclr.config.flat import from_flat
from tf_simclr.modes.execute import run_stage

PAGE = tiny.ROOT / "docs" / "python.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\w+\.py)\n")


@pytest.fixture
def short_runs(monkeypatch, one_block):
    """Leaves three steps of each run, and the export to `ts.export`."""

    def run(config):
        few = {
            "train_steps": 3,
            "warmup_epochs": 0,
            "checkpoint_steps": 3,
            "color_jitter_strength": 0.0,
            "export": False,
        }
        if config.stage != "finetune":
            few["width_multiplier"] = 0.05
        return run_stage(from_flat(few, config))

    monkeypatch.setattr("tf_simclr.library.run_stage", run)


@pytest.mark.slow
@pytest.mark.usefixtures("short_runs")
def test_the_page_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "page"}
    for number, block in enumerate(_BLOCK.findall(PAGE.read_text())):
        file = _FILE.match(block)
        # A file, since AutoGraph reads the source of functions.
        path = tmp_path / (file[1] if file else f"block_{number}.py")
        path.write_text(block)
        if not file:
            exec(compile(block, str(path), "exec"), names)
    sys.modules.pop("barlow_twins")
    assert "Did you mean temperature?" in capsys.readouterr().out
    assert set(os.listdir("runs")) == {
        *("pretrained", "finetuned", "student", "a", "barlow", "exported"),
        "labels",
    }
    assert len(names["chosen"]) == 20
    assert names["features"].shape[0] == len(names["found"]) == 5
    assert names["logits"].shape == (5, 10)
    assert "eval/label_top_1_accuracy" in names["scores"]
    assert isinstance(names["barlow"], ts.Result)
    assert names["loss"].shape == ()
