"""The TensorBoard files of a training run."""

import glob
import json
import os
import resource
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_simclr.files import replacing
from tf_simclr.metrics import CHANCE, RUNS, Chart, chance_charts, chart_of
from tf_simclr.optimizers.schedule import SchedulePlan
from tf_simclr.training.hparams import write_hyperparameters, write_session_end
from tf_simclr.training.pictures import EmbeddingWatch, write_views
from tf_simclr.training.run_dir import RunDirectory
from tf_simclr.training.step import Task

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


_GIBIBYTE = 2.0**30


def memory_in_use() -> dict[str, float]:
    """{chart: GiB}: resident memory, and that of each GPU there is."""
    found = {"memory/resident_gib": _resident() / _GIBIBYTE}
    for index, _ in enumerate(tf.config.list_logical_devices("GPU")):
        info = tf.config.experimental.get_memory_info(f"GPU:{index}")
        found[f"memory/gpu{index}_gib"] = info["current"] / _GIBIBYTE
        found[f"memory/gpu{index}_peak_gib"] = info["peak"] / _GIBIBYTE
    return found


def _resident() -> float:
    """Bytes of this process in memory; elsewhere than on Linux, their peak."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


# Points of a curve, and histograms, over a whole run: with some 50 curves of
# about 100 bytes a point, and 2 KB for both histograms, event files stay below
# 10 MB however long the run.
MOST_POINTS = 1000
MOST_HISTOGRAMS = 100


class Summaries:
    """Writes what happens in a run; thins it out where it happens often.

    Args:
      task: what is trained.
      plan: the length of the run and of its warm-up.
      run_dir: where the files go.
      first_step: where this process starts.
      replicas: that share a batch.
      most_points, most_histograms: of a curve, over the whole run.
    """

    def __init__(
        self,
        task: Task,
        plan: SchedulePlan,
        run_dir: RunDirectory,
        first_step: int,
        *,
        replicas: int = 1,
        most_points: int = MOST_POINTS,
        most_histograms: float = MOST_HISTOGRAMS,
    ):
        self._replicas = replicas
        self._most_points = most_points
        self._most_histograms = most_histograms
        self._probe = task.probe
        self._plan = plan
        self._path = run_dir.path
        self._batch_size = task.batch_size
        self._written = self._drawn = first_step
        self._chance = chance_charts(task.method.chance())
        self._marked: dict[str, int] = {}
        self._embeddings = EmbeddingWatch(plan)
        self._first = True
        self._clear()
        self._writers = {"": tf.summary.create_file_writer(run_dir.path)}
        self._start(task, run_dir, first_step)

    def before(self, count: int) -> None:
        """Notes that `count` steps come next."""
        if self._probe is not None:
            self._probe.aim(count)

    def stepped(self, count: int, seconds: float, waited: float | None) -> None:
        """Notes that `count` steps took `seconds`, `waited` of them for
        images; None if that was not measured."""
        if self._first:
            # Most of the first call is tracing.
            self._first = False
            return
        self._steps += count
        self._seconds += seconds
        self._waited += waited or 0.0

    def train(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the metrics of the steps up to `step`, and what the probe
        kept of the last one."""
        total = self._plan.total_steps
        if not _due(step, self._written, self._most_points, total):
            return
        self._written = step
        charts = {chart_of(name): value for name, value in metrics.items()}
        found = self._speed() | memory_in_use()
        if self._probe is not None:
            found |= self._probe.gradients()
        charts |= {Chart("", tag): value for tag, value in found.items()}
        self._scalars(step, charts)
        if self._probe is not None and _due(
            step, self._drawn, self._most_histograms, total
        ):
            self._drawn = step
            with self._writer().as_default():
                found = self._probe.embeddings()
                if found is not None:
                    views, ids = found
                    self._embeddings.write(step, *views, ids)

    def evaluation(self, step: int, scores: Mapping[str, float]) -> None:
        """Writes the scores of the evaluation split."""
        charts = {chart_of(name): value for name, value in scores.items()}
        self._scalars(step, charts)

    def continues(self, step: int, names: Sequence[str]) -> None:
        """Notes that a process before this one wrote the training metrics of
        `step`, and their chance levels with them."""
        self._marked = dict.fromkeys((chart_of(n).tag for n in names), step)

    def flush(self) -> None:
        """Brings everything to the disk."""
        for writer in self._writers.values():
            writer.flush()

    def __enter__(self) -> "Summaries":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        """Closes the files; without an error, the run is marked as ended."""
        if kind is None:
            with self._writer().as_default():
                write_session_end()
        for writer in self._writers.values():
            writer.close()

    def _start(self, task: Task, run_dir: RunDirectory, step: int) -> None:
        record = run_dir.read_config()
        with self._writer().as_default():
            if record is not None:
                name = os.path.basename(os.path.abspath(self._path))
                write_hyperparameters(record, name)
                tf.summary.text("config", _as_text(record.to_json()), step)
            if not step:
                parts = task.num_micro_batches * self._replicas
                write_views(
                    task.batches,
                    task.batch_size // parts,
                    self._plan.total_steps * parts,
                )

    def _speed(self) -> dict[str, float]:
        if not self._seconds:
            return {}
        speed = {
            "speed/images_per_second": self._steps
            * self._batch_size
            / self._seconds,
            "speed/input_wait": min(self._waited / self._seconds, 1.0),
        }
        self._clear()
        return speed

    def _clear(self) -> None:
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0

    def _scalars(self, step: int, charts: Mapping[Chart, float]) -> None:
        for chart, value in charts.items():
            with self._writer(chart.run).as_default(step):
                tf.summary.scalar(chart.tag, value)
            # As many points as the curve: a chart is scaled to what most
            # points need.
            level = self._chance.get(chart.tag)
            if level is not None and self._marked.get(chart.tag) != step:
                self._marked[chart.tag] = step
                with self._writer(CHANCE).as_default(step):
                    tf.summary.scalar(chart.tag, level)

    def _writer(self, run: str = "") -> tf.summary.SummaryWriter:
        if run not in self._writers:
            folder = os.path.join(self._path, run)
            self._writers[run] = tf.summary.create_file_writer(folder)
        return self._writers[run]


def _due(step: int, last: int, most: int, total: int) -> bool:
    """True if `most` points over `total` steps leave room for one."""
    every = max(1.0, total / most)
    return step == total or step // every > last // every


def _as_text(record: Mapping[str, Any]) -> str:
    """Markdown: indented lines are code."""
    text = json.dumps(record, indent=2, ensure_ascii=False)
    return "\n".join(f"    {line}" for line in text.splitlines())
