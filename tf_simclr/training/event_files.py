"""TensorBoard's files of a run that continues: nothing in them twice."""

import glob
import os
import struct
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tf_simclr.files import replacing
from tf_simclr.training.summaries.charts import RUNS

# A record is its length and that number's checksum, the bytes and theirs.
_HEAD, _TAIL = 12, 4


def cut_events_after(
    folder: str, step: int, runs: Sequence[str] = RUNS
) -> None:
    """Drops events of steps that will be gone through again, and what a
    killed process left half-written.

    Args:
      folder: of the run. What other runs have below it is left alone.
      step: the last one to keep; -1 drops all.
      runs: whose events, as sub-directories of the folder.
    """
    for run in runs:
        pattern = os.path.join(
            glob.escape(folder), run, "events.out.tfevents.*"
        )
        for path in glob.glob(pattern):
            _cut(path, step)


def _cut(path: str, step: int) -> None:
    kept, has_events = [], False
    for record in _records(path):
        event = tf.compat.v1.Event.FromString(record[_HEAD:-_TAIL])
        if event.HasField("summary"):
            if event.step > step:
                continue
            has_events = True
        kept.append(record)
    if not has_events:
        os.remove(path)
    elif sum(map(len, kept)) != os.path.getsize(path):
        with replacing(path) as name, open(name, "wb") as file:
            file.writelines(kept)


def _records(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while len(head := file.read(_HEAD)) == _HEAD:
            size = struct.unpack("<Q", head[:8])[0] + _TAIL
            rest = file.read(size)
            if len(rest) < size:
                return
            yield head + rest
