"""One process per `model_dir`: real processes hold and leave the lock."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys

import pytest
import tiny

from tf_simclr.errors import UserError
from tf_simclr.training import lock
from tf_simclr.training.lock import LOCK_FILE, locked

HOLD = """
import sys, time
from tf_simclr.training.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def holder(folder):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=tiny.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_live_holder_is_named_and_a_killed_one_is_followed(tmp_path, capsys):
    with holder(tmp_path) as process:
        with pytest.raises(UserError) as error:
            locked(str(tmp_path)).__enter__()
        message = str(error.value)
        assert f"in use by process {process.pid} on {os.uname().nodename}" in (
            message
        )
        assert str(tmp_path) in message and "since 20" in message
    # Killed: it could not tidy up, and nobody has to.
    with locked(str(tmp_path)):
        told = capsys.readouterr().out
        assert f"was left behind by process {process.pid}" in told
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == (
            os.getpid()
        )
    assert (tmp_path / LOCK_FILE).read_text() == ""
    with locked(str(tmp_path)):
        assert capsys.readouterr().out == ""


def test_two_runs_of_one_process_exclude_each_other(tmp_path):
    with locked(str(tmp_path)), pytest.raises(UserError, match="in use by"):
        locked(str(tmp_path)).__enter__()


@pytest.mark.parametrize(
    "change, taken",
    [
        ({}, False),
        ({"pid": 2**22 + 1}, True),
        ({"boot_id": "another"}, True),
        ({"host": "elsewhere", "boot_id": "another"}, False),
    ],
)
def test_without_locks_in_the_file_system_the_name_decides(
    tmp_path, monkeypatch, change, taken
):
    def unsupported(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    # The test's parent lives on.
    named = {**vars(lock.this_process()), "pid": os.getppid(), **change}
    (tmp_path / LOCK_FILE).write_text(json.dumps(named))
    if taken:
        with locked(str(tmp_path)):
            pass
    else:
        with pytest.raises(UserError, match="in use by process"):
            locked(str(tmp_path)).__enter__()
