"""Images that no longer come: the input worker is really killed."""

import signal
import subprocess
import sys
import time

import tiny

from tf_simclr import manifests

PROGRAM = [sys.executable, str(tiny.ROOT / "tests" / "stalled_run.py")]

# Calls that take no time, and then one that never ends.
ENDLESS = """
import time
from tf_simclr.training import stall
stall.NOTICE, stall.END = 1.0, 4.0
with stall.StallWatch() as watch:
    for _ in range(2):
        with watch.watched():
            pass
    with watch.watched():
        print("begun", flush=True)
        while True:
            time.sleep(0.1)
"""


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


def test_time_in_which_the_process_was_suspended_does_not_count():
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(5.0)
        process.send_signal(signal.SIGCONT)
        time.sleep(1.0)
        assert process.poll() is None
        # It does stall, and is awake.
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "No step has ended for 4 seconds" in errors
