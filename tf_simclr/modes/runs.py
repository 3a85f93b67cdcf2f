"""All runs below a folder, side by side."""

import dataclasses
import html
import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from tf_simclr.config.run import Config
from tf_simclr.errors import UserError
from tf_simclr.evaluation.accuracy import Interval
from tf_simclr.files import read_json, write_text
from tf_simclr.methods.base import TOTAL_LOSS
from tf_simclr.methods.registry import metrics_of
from tf_simclr.metrics import KNN, TOP_1, Metric
from tf_simclr.progress import duration, say
from tf_simclr.report.curves import Curve, line_chart
from tf_simclr.report.evaluation_files import EVALUATION_FILE
from tf_simclr.report.markup import page, section, table
from tf_simclr.storage.addresses import address_of
from tf_simclr.training.run_dir import METRICS_FILE, RESULT_FILE, RunDirectory
from tf_simclr.training.run_record import RECORD_FILE, RunRecord

RUNS_FILE = "runs.html"
# Folders of a run that hold no other runs, and may hold very many files.
_INSIDE = ("checkpoints", "saved_model", "onnx", "tflite", "projector")
_HEAD = (
    *("run", "stage", "data", "labels", "step", "score", "95 % interval"),
    *("time", "size"),
)
_MIB = 2**20


@dataclasses.dataclass(frozen=True)
class RunRow:
    """One run of the table.

    Attributes:
      name: its folder, below the one that was asked for.
      record: what its `config.json` holds.
      step: the last one of its curves.
      ended: whether it has left a result.
      score: {metric: value} of its result.
      interval: of its top-1 accuracy, if it was evaluated.
      seconds: from its first event to its last, with what lay between.
      size: bytes of its folder; None of a run on object storage, of which
        only small files are here.
      curves: the lines of `metrics.jsonl`.
    """

    name: str
    record: RunRecord
    step: int
    ended: bool
    score: Mapping[str, float]
    interval: Interval | None
    seconds: float
    size: int | None
    curves: Sequence[Mapping[str, Any]]


def runs(config: Config) -> str:
    """Prints a table of the runs below `model_dir`, and writes `runs.html`
    with their curves there.

    Returns:
      The file's path.

    Raises:
      UserError: there are none.
    """
    folder = os.path.abspath(config.run.model_dir)
    rows, problems = find_runs(folder)
    if not rows:
        why = f" ({problems[0]})" if problems else ""
        raise UserError(
            f"--model_dir={folder} holds no run{why}: name a folder of runs."
        )
    cells = [_cells(row) for row in rows]
    say(_as_text(cells))
    for problem in problems:
        say(problem)
    path = os.path.join(folder, RUNS_FILE)
    write_text(path, _page(folder, rows, cells, problems))
    say(f"\n{path}: {len(rows)} runs")
    return path


def find_runs(folder: str) -> tuple[list[RunRow], list[str]]:
    """The runs below a folder, and what cannot be read there.

    Args:
      folder: a run of its own, or one of runs and pipelines.
    """
    found, problems = [], []
    for path, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _INSIDE and not name.startswith(".")
        )
        if RECORD_FILE not in files:
            continue
        try:
            record = RunDirectory(path).read_config()
            # An export has a record, too, but no curves.
            if record.config and METRICS_FILE in files:
                found.append(_row(folder, path, record))
        except UserError as error:
            problems.append(str(error))
        except (OSError, ValueError, KeyError) as error:
            problems.append(f"{path} cannot be read as a run: {error!r}")
    return found, problems


def _row(root: str, path: str, record: RunRecord) -> RunRow:
    run_dir = RunDirectory(path)
    curves = run_dir.read_metrics()
    result: Mapping[str, Any] = {}
    if os.path.exists(run_dir.file(RESULT_FILE)):
        result = read_json(run_dir.file(RESULT_FILE))
    interval = None
    if os.path.exists(run_dir.file(EVALUATION_FILE)):
        scores = read_json(run_dir.file(EVALUATION_FILE))["scores"]
        interval = Interval(**scores["top_1"])
    name = os.path.relpath(path, root)
    return RunRow(
        name=os.path.basename(root) if name == os.curdir else name,
        record=record,
        step=max((line["step"] for line in curves), default=0),
        ended=bool(result),
        score={k: v for k, v in result.items() if k.startswith("eval/")},
        interval=interval,
        seconds=_seconds(path),
        size=_size(path) if address_of(path) == path else None,
        curves=curves,
    )


def _seconds(path: str) -> float:
    """Seconds between the first and the last event in TensorBoard's files,
    which stay the same where a run is copied."""
    times: list[float] = []
    for name in sorted(os.listdir(path)):
        if not name.startswith("events.out.tfevents."):
            continue
        records = tf.data.TFRecordDataset(os.path.join(path, name))
        # A killed process may have left half a record.
        for record in records.ignore_errors():
            event = tf.compat.v1.Event.FromString(record.numpy())
            times.append(event.wall_time)
    return max(times) - min(times) if times else 0.0


def _size(path: str) -> int:
    """Bytes of a run's folder, without those of runs inside it."""
    total = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [
            name
            for name in folders
            if name in _INSIDE
            or not os.path.exists(os.path.join(folder, name, RECORD_FILE))
        ]
        for name in files:
            file = os.path.join(folder, name)
            if not os.path.islink(file):
                total += os.path.getsize(file)
    return total


def _cells(row: RunRow) -> tuple[str, ...]:
    record = row.record
    total = record.derived.total_steps or row.step
    score, metric = _score(row)
    interval = row.interval if metric is TOP_1 else None
    return (
        row.name,
        record.stage or "?",
        os.path.basename((record.dataset.name or "?").rstrip("/")),
        f"{record.labels.count or 0:,}",
        f"{row.step:,} of {total:,}" if row.step < total else f"{row.step:,}",
        score,
        f"{interval.low:.3f} to {interval.high:.3f}" if interval else "",
        duration(row.seconds),
        "-" if row.size is None else f"{row.size / _MIB:.1f} MiB",
    )


def _score(row: RunRow) -> tuple[str, Metric | None]:
    """Top-1 accuracy; of a pretraining that of its nearest neighbours."""
    for metric in (KNN, TOP_1) if row.record.stage == "pretrain" else (TOP_1,):
        value = row.score.get(metric.name)
        if value is not None:
            name = " (k-NN)" if metric is KNN else ""
            return f"{value:.4f}{name}", metric
    return "" if row.ended else "not ended", None


def _as_text(rows: Sequence[Sequence[str]]) -> str:
    """A table with columns of one width, the first one to the left."""
    lines = [_HEAD, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            [
                line[0].ljust(widths[0]),
                *(
                    cell.rjust(width)
                    for cell, width in zip(line[1:], widths[1:], strict=True)
                ),
            ]
        ).rstrip()
        for line in lines
    )


def _page(
    folder: str,
    rows: Sequence[RunRow],
    cells: Sequence[Sequence[str]],
    problems: Sequence[str],
) -> str:
    title = f"Runs in {os.path.basename(folder)}"
    cards = "".join(
        f'<div class="card"><h3>{html.escape(row.name)}</h3>'
        f"<figure>{_chart(row)}</figure></div>"
        for row in rows
    )
    body = [
        f"<header><h1>{html.escape(title)}</h1></header>",
        f'<div class="card scroll">{table(_HEAD, cells)}</div>',
        *(f'<p class="note">{html.escape(text)}</p>' for text in problems),
        section("Loss", "", f'<div class="two">{cards}</div>'),
    ]
    return page(title, "\n".join(body))


def _chart(row: RunRow) -> str:
    """The loss of progress lines and reports; of an unknown method the sum
    that is minimised."""
    losses = [m.name for m in metrics_of(row.record) if m.report == "loss"]
    for name in (*losses, TOTAL_LOSS.name):
        points = [
            (line["step"], line[name])
            for line in row.curves
            if line.get("split") == "train" and name in line
        ]
        if points:
            curve = Curve(name, points, "c0", noisy=True)
            return line_chart("loss", [curve])
    return ""
