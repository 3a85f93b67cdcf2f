"""Signals to real processes, also while TensorFlow keeps Python waiting."""

import os
import signal
import subprocess
import sys
import time

import pytest
import tiny

# No Python handler runs while the main thread is in a C function; another
# thread receives the signals.
BLOCKED = """
import ctypes, signal
from tf_simclr.training.stop import StopRequest
with StopRequest() as stop:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    print("ready", flush=True)
    ctypes.CDLL(None).sleep(60)
"""
OUTSIDE = """
import sys, time
sys.path.insert(0, ".")
import run
def mode(_):
    print("ready", flush=True)
    time.sleep(60)
sys.exit(run.exit_code(mode, None))
"""


def start(program):
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_at_once(number):
    process = start(BLOCKED)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 128 + number
    assert "Stopped at once by a second signal" in errors


def test_a_signal_outside_of_training():
    process = start(OUTSIDE)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    last = errors.strip().splitlines()[-1]
    assert last.startswith("run.py: Stopped by SIGINT")
    assert "Traceback" not in errors
