"""Images that no longer come: the input worker is really killed."""

import subprocess
import sys

import tiny

from tf_simclr import manifests

PROGRAM = [sys.executable, str(tiny.ROOT / "tests" / "stalled_run.py")]


def start(*arguments):
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_input_worker_is_told_and_ends_the_run(tmp_path):
    worker = start("serve")
    try:
        address = worker.stdout.readline().strip()
        run = start("train", address, str(tmp_path))
        for line in run.stdout:
            if line == "step 3\n":
                break
        worker.kill()
        _, errors = run.communicate(timeout=120)
    finally:
        worker.kill()
        worker.communicate()
    assert run.returncode == 1, errors
    assert "an input worker" in errors and "giving up after" in errors
    assert "is gone. The last checkpoint is untouched" in errors
    assert manifests.newest_whole(str(tmp_path / "checkpoints")).step >= 2
