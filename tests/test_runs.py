"""`--mode=runs`: all runs below a folder in one table and on one page."""

import dataclasses
import json
import pathlib
import shutil

import pytest
import tiny

from tf_simclr import cli
from tf_simclr.modes.runs import find_runs

pytestmark = pytest.mark.usefixtures("one_block")


def main(*flags: str) -> int:
    return cli.main(["run.py", *flags])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A finished run, one that has not ended, and two that cannot be read."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = tiny.write_npz(tmp_path_factory.mktemp("data"))
    flags = [*tiny.FLAGS, f"--dataset={dataset}", "--mode=finetune"]
    run = folder / "<b>first & _second_"
    assert main(*flags, "--from_scratch", f"--model_dir={run}") == 0
    (folder / "deeper").mkdir()
    shutil.copytree(run, folder / "deeper" / "stopped")
    (folder / "deeper" / "stopped" / "result.json").unlink()
    shutil.copytree(run, folder / "torn")
    (folder / "torn" / "metrics.jsonl").write_text('{"step": 1')
    for name, text in (("bad", "{"), ("export", '{"stage": "finetune"}')):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(text)
    return folder


def test_a_line_for_every_run(folder, capsys):
    capsys.readouterr()
    assert main("--mode=runs", f"--model_dir={folder}") == 0
    out = capsys.readouterr().out
    head, first, second, *rest = out.splitlines()
    assert head.split()[:5] == ["run", "stage", "data", "labels", "step"]
    score = json.loads((folder / "<b>first & _second_/result.json").read_text())
    top_1 = score["eval/label_top_1_accuracy"]
    assert first.startswith("<b>first & _second_  finetune")
    assert f" {top_1:.4f}  0." in first and first.endswith("MiB")
    assert second.startswith("deeper/stopped") and "not ended" in second
    assert any("bad/config.json is no record" in line for line in rest)
    assert any("/torn cannot be read as a run" in line for line in rest)
    page = (folder / "runs.html").read_text()
    assert "<b>first" not in page and "&lt;b&gt;first &amp; _second_" in page
    assert page.count("<svg") == 2 and "bad/config.json" in page


def test_the_chart_is_of_the_loss_that_progress_lines_show(folder):
    from tf_simclr.modes.runs import _chart

    (first, _), _ = find_runs(str(folder))
    shown = _chart(first)
    others = [{**line, "total_loss": 99.0} for line in first.curves]
    assert _chart(dataclasses.replace(first, curves=others)) == shown
    others = [{**line, "supervised_loss": 99.0} for line in first.curves]
    assert _chart(dataclasses.replace(first, curves=others)) != shown


def test_copies_keep_their_time(folder):
    (first, second), _ = find_runs(str(folder))
    assert first.seconds == second.seconds > 0
    assert abs(first.size - second.size) < 1000
    assert first.step == second.step == 7
    # A run itself is a folder of one.
    ((only,), _) = find_runs(str(folder / "deeper" / "stopped"))
    assert only.name == "stopped"


def test_a_folder_without_runs_is_refused(tmp_path, capsys):
    assert main("--mode=runs", f"--model_dir={tmp_path}") == 2
    assert "holds no run: name a folder of runs" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
