"""Twenty steps of each stage give the checkpoints of version 0.1.0.

Bit by bit on the machine that the figures were made on; elsewhere, where sums
are rounded otherwise, to a part in a thousand.
"""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from twenty_steps import FLAGS, STAGES, held, machine

ROOT = pathlib.Path(__file__).parent.parent
GOLDEN = json.loads(
    (pathlib.Path(__file__).parent / "golden" / "twenty_steps.json").read_text()
)


@pytest.mark.slow
@pytest.mark.golden
def test_checkpoints_are_those_of_the_first_version(tmp_path):
    for name, flags in STAGES.items():
        words = f"{FLAGS} {flags.format(tmp_path)}".split()
        words.append(f"--model_dir={tmp_path / name}")
        subprocess.run(
            [sys.executable, str(ROOT / "run.py"), *words],
            check=True,
            capture_output=True,
        )
        found, expected = held(tmp_path / name), GOLDEN[name]
        assert np.isclose(found["norm"], expected["norm"], rtol=1e-3), name
        assert np.allclose(found["losses"], expected["losses"], rtol=1e-3), name
        if GOLDEN["machine"] == machine():
            assert found["digest"] == expected["digest"], name
