"""One process at a time writes to a folder of object storage."""

import dataclasses
import json
import os
import socket
import threading

import pytest
from storage_faults import bucket

from tf_simclr.errors import StorageFailed, UserError
from tf_simclr.storage import lease as module
from tf_simclr.storage import objects
from tf_simclr.storage.lease import LEASE_FILE, Lease
from tf_simclr.training.lock import this_process


def left_by(address, **changes):
    """A lease that some process left."""
    holder = {**dataclasses.asdict(this_process()), **changes}
    text = json.dumps({"holder": holder, "token": "x", "renewals": 3})
    objects.write(f"{address}/{LEASE_FILE}", text.encode())


def test_it_is_taken_renewed_and_released():
    address = bucket()
    lease = Lease(address)
    lease.take()
    lease.renew()
    assert lease.is_held()
    lease.release()
    assert not objects.exists(f"{address}/{LEASE_FILE}")


def test_a_lease_of_a_process_that_has_ended_is_taken_at_once(capsys):
    address = bucket()
    left_by(address, pid=2**22 + 1)
    Lease(address).take()
    assert "was left behind by process 4194305" in capsys.readouterr().out


def test_one_of_another_machine_is_watched_first(capsys):
    address = bucket()
    left_by(address, host="elsewhere")
    Lease(address, respected_for=0.2).take()
    out = capsys.readouterr().out
    assert "waiting for 0.2 s" in out
    assert "was not renewed by process" in out


def test_one_that_is_renewed_is_respected():
    address = bucket()
    first, ended = Lease(address), threading.Event()
    first.take()

    def renew():
        while not ended.wait(0.05):
            first.renew()

    thread = threading.Thread(target=renew)
    thread.start()
    try:
        named = f"in use by process {os.getpid()} on {socket.gethostname()}"
        with pytest.raises(UserError, match=named):
            Lease(address, respected_for=2).take()
    finally:
        ended.set()
        thread.join()
    assert first.is_held()


def test_whoever_lost_it_is_told_and_removes_nothing():
    address = bucket()
    first, second = Lease(address), Lease(address, respected_for=0.1)
    first.take()
    second.take()
    with pytest.raises(StorageFailed, match="has been taken over by process"):
        first.renew()
    first.release()
    assert second.is_held()


def test_of_two_at_once_the_last_one_has_it(monkeypatch):
    address = bucket()
    other = Lease(address)
    write = Lease._write

    def both(lease):
        write(lease)
        if lease is not other:
            write(other)

    monkeypatch.setattr(module.Lease, "_write", both)
    with pytest.raises(UserError, match="is in use by"):
        Lease(address).take()


def test_a_damaged_lease_is_one_of_another_process(capsys):
    address = bucket()
    objects.write(f"{address}/{LEASE_FILE}", b"no json")
    Lease(address, respected_for=0.1).take()
    assert "names another process" in capsys.readouterr().out
