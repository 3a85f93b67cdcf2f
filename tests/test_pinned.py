"""Work in processes of their own cores."""

import os
import pathlib
import subprocess
import sys
import time

import pytest
import tiny

from benchmarks.lib.pinned import run_pinned


def test_each_has_its_cores_and_its_share(tmp_path):
    def work(job: int) -> None:
        cores = sorted(os.sched_getaffinity(0))
        (tmp_path / str(job)).write_text(f"{os.getpid()} {cores}")

    assert run_pinned(work, 2)
    found = [(tmp_path / name).read_text().split(" ", 1) for name in "01"]
    pids, cores = zip(*found, strict=True)
    assert len({*pids, str(os.getpid())}) == 3
    available = len(os.sched_getaffinity(0))
    if available > 1:
        assert cores[0] != cores[1]


@pytest.mark.parametrize("error", [SystemExit("no"), ValueError("no")])
def test_one_that_fails_is_told(error, capfd):
    def work(job: int) -> None:
        if job:
            raise error

    assert not run_pinned(work, 2)
    assert "no" in capfd.readouterr().err


def test_workers_end_with_their_parent(tmp_path):
    noted = tmp_path / "worker"
    program = (
        "import os, pathlib, sys, time; sys.path.append(sys.argv[1])\n"
        "from benchmarks.lib.pinned import run_pinned\n"
        "def work(job):\n"
        "    pathlib.Path(sys.argv[2]).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "run_pinned(work, 1)\n"
    )
    command = [sys.executable, "-c", program, str(tiny.ROOT), str(noted)]
    with subprocess.Popen(command) as parent:
        while not (noted.exists() and noted.read_text()):
            time.sleep(0.01)
        parent.kill()
    worker = pathlib.Path("/proc", noted.read_text(), "stat")
    deadline = time.monotonic() + 30
    while worker.exists() and worker.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)
