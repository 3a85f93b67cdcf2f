"""Files written as JSON can be read by anything that reads JSON."""

import json
import math

from tf_simclr.files import write_json
from tf_simclr.training.run_dir import RunDirectory


def strictly(text: str):
    def refuse(constant: str):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_are_not_finite_are_null(tmp_path):
    path = tmp_path / "a.json"
    value = {"a": [1.5, math.nan], "b": {"c": (math.inf, -math.inf, "NaN")}}
    write_json(str(path), value)
    assert strictly(path.read_text()) == {
        "a": [1.5, None],
        "b": {"c": [None, None, "NaN"]},
    }


def test_metrics_too(tmp_path):
    run_dir = RunDirectory(str(tmp_path))
    run_dir.append_metrics(3, 0.5, "train", {"loss": math.nan, "rate": 0.1})
    run_dir.drop_metrics(4, "eval")
    line = strictly((tmp_path / "metrics.jsonl").read_text())
    assert line == {
        "step": 3,
        "epoch": 0.5,
        "split": "train",
        "loss": None,
        "rate": 0.1,
    }
