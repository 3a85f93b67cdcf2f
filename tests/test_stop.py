"""Signals to real processes, also while TensorFlow keeps Python waiting."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

import pytest
import tiny

from tf_simclr.signals import Terminated, signals_terminate, stop_point

# No Python handler runs while the main thread is in a C function; another
# thread receives the signals.
BLOCKED = """
import ctypes, signal
from tf_simclr.signals import StopRequest
with StopRequest() as stop:
    signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    )
    print("ready", flush=True)
    ctypes.CDLL(None).sleep(60)
"""
OUTSIDE = """
import sys, time
sys.path.insert(0, ".")
from tf_simclr import cli
def mode(_):
    print("ready", flush=True)
    time.sleep(60)
sys.exit(cli.exit_code(mode, None))
"""

TERMINATED = """
import sys, time
from tf_simclr.signals import Terminated, signals_terminate
try:
    with signals_terminate():
        print("ready", flush=True)
        time.sleep(60)
except Terminated as error:
    sys.exit(128 + error.signal_number)
"""


def start(program, **kwargs):
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        **kwargs,
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
)
def test_a_second_signal_ends_the_process_at_once(number):
    process = start(BLOCKED)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(number)
    _, errors = process.communicate(timeout=5)
    assert process.returncode == 128 + number
    assert "Stopped at once by a second signal" in errors


def test_a_signal_that_comes_twice_at_once_is_one():
    process = start(BLOCKED)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.02)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_terminal_may_hang_up_twice():
    process = start(BLOCKED)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_signal_outside_of_training():
    process = start(OUTSIDE)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    last = errors.strip().splitlines()[-1]
    assert last.startswith("run.py: Stopped by SIGINT")
    assert "Traceback" not in errors


def test_a_terminal_that_closes_stops_a_process():
    process = start(TERMINATED)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=5)
    assert process.returncode == 128 + signal.SIGHUP


# Trains for ever, and prints a line after each step.
TALKING = """
import pathlib, sys
sys.path[:0] = [".", "tests"]
from small_task import train
from tf_simclr import cli
from tf_simclr.training.intervals import Pace
folder = pathlib.Path(sys.argv[1])
sys.exit(cli.exit_code(lambda _: train(
    folder, steps=10**6, log_every_steps=0, pace=Pace(0.0, 0.0)
), None))
"""


def take_terminal():
    """Makes standard input the terminal that belongs to the process."""
    fcntl.ioctl(0, termios.TIOCSCTTY)


def test_a_run_whose_terminal_closes_is_saved(tmp_path):
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", TALKING, str(tmp_path)],
        cwd=tiny.ROOT,
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=take_terminal,
    )
    os.close(end)
    said = b""
    try:
        while b"small 5/1000000" not in said:
            said += os.read(terminal, 1000)
    except OSError:
        # It has ended; what it said tells why.
        raise AssertionError(said.decode()) from None
    os.close(terminal)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert tiny.checkpoint_steps(tmp_path)[-1] >= 5


def ignore_hang_up():
    """As `nohup` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


@pytest.mark.parametrize("program", [BLOCKED, TERMINATED])
def test_nohup_is_respected(program):
    process = start(program, preexec_fn=ignore_hang_up)
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    # One that ends at the first signal does so before the second.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=5)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_an_error_that_a_finalizer_swallows_comes_at_the_next_stop_point():
    class Swallowing:
        def __del__(self):
            with contextlib.suppress(Terminated):
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated) as error, signals_terminate():
        stop_point()
        Swallowing()
        stop_point()
    assert error.value.signal_number == signal.SIGTERM
    stop_point()


def test_an_error_that_takes_the_place_of_the_signal_s_is_none():
    """As of pybind11, whose errors are made while another one is active."""
    with pytest.raises(Terminated) as error, signals_terminate():
        try:
            signal.raise_signal(signal.SIGINT)
        except Terminated:
            raise RuntimeError("replaced") from None
    assert error.value.signal_number == signal.SIGINT
    with pytest.raises(RuntimeError), signals_terminate():
        raise RuntimeError("its own")
