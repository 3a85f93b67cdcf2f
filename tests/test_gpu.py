"""The script for machines with GPUs, on one without."""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tiny

from benchmarks.speed import gpu

SCRIPT = tiny.ROOT / "benchmarks" / "speed" / "gpu.sh"
FOUND = {"capabilities": [], "memory_bytes": 0}


def run(*arguments, output):
    return subprocess.run(
        [str(SCRIPT), *arguments, f"--output={output}"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHON": sys.executable},
        check=False,
    )


def test_it_asks_for_a_gpu_and_lists_what_it_had_no_time_for(tmp_path):
    if not tf.config.list_physical_devices("GPU"):
        refused = run(output=tmp_path / "a")
        assert refused.returncode != 0
        assert "install requirements-gpu.txt" in refused.stderr
    done = run("--cpu", "--minutes=0", "--cases", output=tmp_path / "b")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == json.loads((tmp_path / "b.json").read_text())
    assert found["machine"]["tensorflow"] == tf.__version__
    assert found["not_run"] == ["golden", "resume", "input: JPEG, 224px"]
    assert found["parts"] == found["failed"] == {}


def arguments(**changed):
    values = {
        "steps": 1,
        "repeats": 1,
        "cases": ["R18 32px", "R50 224px"],
        "precisions": ["float32", "mixed_bfloat16"],
        "flags": "",
        "tests": [],
        "peak_side": 0,
        "input_options": [],
        "torch_python": "",
    }
    return argparse.Namespace(**values | changed)


def test_all_cases_are_measured_by_the_memory_there_is(monkeypatch):
    asked = []
    monkeypatch.setattr(
        gpu, "step", lambda flags, options: asked.append(flags) or {}
    )
    two = {"capabilities": [[9, 0]] * 2, "memory_bytes": 80 * 2**30}
    made = gpu.parts(arguments(torch_python="python"), two)
    assert list(made)[:3] == ["golden", "resume", "replicas"]
    assert list(made)[-2:] == ["torch: R18 32px", "torch: R50 224px"]
    for name, measure in made.items():
        if name.startswith("step"):
            measure()
    assert len(asked) == 2 * 2 * 2
    assert sum("--jit_compile" in flags for flags in asked) == 4
    assert "--image_size=224 --train_batch_size=256" in asked[1]
    small = gpu.parts(arguments(), FOUND)
    assert "replicas" not in small
    small["step: R50 224px, float32"]()
    assert "--train_batch_size=32 --precision=float32" in asked[-1]


@pytest.mark.parametrize("error", [0.0, 0.5])
def test_a_run_that_goes_on_is_compared_with_one_that_did_not_stop(
    monkeypatch, error
):
    runs = []

    def train(folder: pathlib.Path, *flags):
        runs.append(folder)
        places = folder / "checkpoints"
        if len(runs) == 2:
            # It was left without what the last steps wrote.
            assert not list(places.glob("ckpt-20*"))
            assert list(places.glob("ckpt-10*"))
            assert not (folder / "result.json").exists()
        values = np.arange(4.0) + error * (len(runs) == 2)
        for step in (10, 20):
            checkpoint = tf.train.Checkpoint(weights=tf.Variable(values))
            checkpoint.write(str(places / f"ckpt-{step}"))
        (folder / "result.json").write_text("{}")

    monkeypatch.setattr(gpu, "_run", train)
    assert gpu.resumed() == {"largest_difference": error}
    assert len(runs) == 2


def test_a_part_that_fails_says_why():
    with pytest.raises(RuntimeError, match="no such thing"):
        gpu.output_of(
            [sys.executable, "-c", "raise SystemExit('no such thing')"]
        )
