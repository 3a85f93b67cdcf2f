"""The benchmark of the training step, on a network that takes no time."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny

from benchmarks.lib import flops
from benchmarks.speed import memory, train_step
from tf_simclr.models.network import Architecture, build_network
from tf_simclr.models.resnet import ResNetShape

FLAGS = (
    "--width_multiplier=0.05 --image_size=8 --train_batch_size=4"
    " --proj_out_dim=8"
)


def test_operations_of_a_known_network():
    # ResNet-50's encoder: 4.09e9 multiplications and additions at 224, of
    # which this stem's and shortcuts' layout has the textbook's.
    architecture = Architecture("resnet", ResNetShape(50), 0, 0, 128, 0, 0)
    network = build_network(architecture, 32)
    forward = flops.forward_flops(network, 224)
    assert np.isclose(forward, 2 * 4.09e9, rtol=0.01)
    stem = 2 * 112 * 112 * 64 * 7 * 7 * 3
    assert flops.training_flops(network, 224) == 3 * forward - stem


@pytest.mark.slow
def test_cases_and_other_programs_are_measured_in_one_run(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            str(tiny.ROOT / "benchmarks" / "speed" / "train_step.py"),
            "--cases",
            "R18 32px",
            f"--flags={FLAGS}",
            "--precisions",
            "mixed_bfloat16",
            "--steps=1",
            "--repeats=3",
            "--peak_side=32",
            "--against=other=echo pairs/s: 12.5",
            f"--output={tmp_path / 'found'}",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    case = found["cases"]["R18 32px, mixed_bfloat16"]
    for what in ("bare", "end_to_end"):
        assert len(case["pairs_per_second"][what]) == 3
        assert min(case["pairs_per_second"][what]) > 0
    assert case["precision"] == "mixed_bfloat16"
    assert case["peak_bytes"]["host"] > 2**27
    assert case["hardware"]["tensorflow"] == tf.__version__
    # Before and after ours.
    assert found["against"] == {"other": [12.5, 12.5]}
    text = (tmp_path / "found.md").read_text()
    assert "| other | 12.5 (12.5-12.5) |" in text
    assert "R18 32px, mixed_bfloat16 | mixed_bfloat16 | 4 |" in text


def test_a_program_that_prints_no_figure_is_refused():
    with pytest.raises(SystemExit, match="must print 'pairs/s: X'"):
        train_step.run_against("other=echo nothing")


def test_memory_is_tabled_by_what_decides_it(monkeypatch):
    def run_case(flags, options):
        batch = 8 if "--train_batch_size=8" in flags else 4
        activations = batch * (10 if "--recompute" in flags else 30)
        peak = {"host": (500 + activations) * 2**20}
        return {"peak_bytes": peak, "hardware": machine}

    machine = {
        "cpu": "a",
        "cores": 2,
        "memory_gib": 1,
        "accelerators": [],
        "python": "3",
        "tensorflow": "2",
        "tf_keras": "2",
    }
    monkeypatch.setattr(memory, "run_case", run_case)
    network = (50, 1, 0.0625, 224, 4)
    rows = [
        memory.measure(network, "float32", recompute, "", 1)
        for recompute in (False, True)
    ]
    assert [row["mib_per_pair"] for row in rows] == [30.0, 10.0]
    text = memory.as_markdown(rows)
    assert "| R50 1x+SK | 224 | float32 | no | 8 | 740 | 30.0 |" in text
    assert "| R50 1x+SK | 224 | float32 | yes | 8 | 580 | 10.0 |" in text
