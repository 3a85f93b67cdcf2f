"""A run on object storage, killed and resumed from another scratch folder,
beside an undisturbed one.

A program of its own: determinism, once asked for, holds for a whole process,
and so does TensorFlow's file system in memory.
    python tests/storage_resume.py FOLDER
"""

import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import one_block
import tiny
from storage_faults import bucket

import tf_simclr as ts
from tf_simclr.storage import objects
from tf_simclr.storage.lease import LEASE_FILE
from tf_simclr.storage.mirror import KeptUp
from tf_simclr.training.checkpoints import Checkpoints

KILLED_AT, LAST = 4, 9


class Killed(BaseException):
    """In the place of a SIGKILL."""


def die_after(address: str) -> None:
    """This "process" ends as soon as the storage has the checkpoint, without
    a word to it."""
    save, leave = Checkpoints.save, KeptUp.__exit__
    name = f"{address}/checkpoints/ckpt-{KILLED_AT}.manifest.json"

    def save_and_die(self, at, score, **options):
        save(self, at, score, **options)
        end = time.monotonic() + 60
        while at.step == KILLED_AT and time.monotonic() < end:
            if objects.exists(name):
                Checkpoints.save = save
                raise Killed
            time.sleep(0.1)

    def without_a_word(self, kind, error, trace):
        if kind is Killed:
            self._end()
            self._end_renewals()
        else:
            leave(self, kind, error, trace)

    Checkpoints.save, KeptUp.__exit__ = save_and_die, without_a_word


def forget(address: str) -> None:
    """The killed process counts as ended."""
    path = f"{address}/{LEASE_FILE}"
    lease = json.loads(objects.read(path))
    lease["holder"]["pid"] = 2**22 + 1
    objects.write(path, json.dumps(lease).encode())


def main(folder: pathlib.Path) -> None:
    """Trains three times; says whether the weights are the same."""
    from test_staged import FLAGS, assert_same_weights

    one_block.shorten()
    local = tiny.write_npz(folder)
    place, run = f"{bucket()}/tiny.npz", f"{bucket()}/run"
    objects.upload(local, place)
    flags = {**FLAGS, "deterministic": True}
    whole = ts.pretrain(dataset=local, model_dir=str(folder / "whole"), **flags)
    options = {"dataset": place, "model_dir": run, **flags}
    die_after(run)
    try:
        ts.pretrain(scratch_dir=str(folder / "first"), **options)
    except Killed:
        forget(run)
    else:
        raise AssertionError("The run was not killed.")
    result = ts.pretrain(scratch_dir=str(folder / "second"), **options)
    assert (result.path, result.metrics) == (run, whole.metrics)
    assert "result.json" in result.files
    record = json.loads(objects.read(f"{run}/config.json"))
    assert record["config"]["dataset"] == record["dataset"]["name"] == place
    assert record["config"]["model_dir"] == run
    assert str(folder / "first") not in json.dumps(record)
    assert not objects.exists(f"{run}/{LEASE_FILE}")
    second = folder / "second" / "runs" / "ram" / run.removeprefix("ram://")
    lines = (second / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert_same_weights(folder / "whole", second, LAST)
    print("same weights")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
