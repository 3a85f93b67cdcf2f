"""Runs that are killed end as those that are not.

`benchmarks/robustness/kill_test.py` has many more of them.
"""

import shutil
import subprocess
import sys

import pytest
import tiny

from benchmarks.robustness.kill_test import difference


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            str(tiny.ROOT / "benchmarks" / "robustness" / "kill_test.py"),
            "--trials=1",
            "--most_kills=1",
            "--stages=pretrain",
            "--devices=1",
            f"--output={tmp_path}",
        ],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    last = result.stdout.strip().splitlines()[-1]
    assert last.startswith("| pretrain | 1 | 1 | 1 |")
    assert last.endswith("| 1 |")
    # What it compares by does see a difference.
    reference = tmp_path / "reference" / "pretrain-1"
    copy = shutil.copytree(reference, tmp_path / "copy")
    assert difference(reference, copy) == ""
    (copy / "checkpoints" / "ckpt-10.manifest.json").unlink()
    assert difference(reference, copy) == "the checkpoints"
    with (copy / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    assert difference(reference, copy) == "metrics.jsonl"
