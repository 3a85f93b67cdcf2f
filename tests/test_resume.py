"""2 + 2 steps are 4 steps, bit for bit, in every stage."""

import subprocess
import sys

import pytest
import tiny


@pytest.mark.slow
def test_resumed_runs_equal_undisturbed_ones(tmp_path):
    program = tiny.ROOT / "tests" / "deterministic_resume.py"
    result = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("Continuing from step 2 of 4") == 5
