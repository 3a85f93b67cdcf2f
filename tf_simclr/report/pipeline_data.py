"""The data of a pipeline's report."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_simclr.evaluation.accuracy import Interval
from tf_simclr.evaluation.classification_report import ClassificationReport
from tf_simclr.evaluation.embeddings import FeaturePlane
from tf_simclr.evaluation.report_json import from_json
from tf_simclr.files import read_json
from tf_simclr.methods.registry import metrics_of
from tf_simclr.metrics import Metric
from tf_simclr.report.evaluation_files import EVALUATION_FILE
from tf_simclr.training.run_record import RunRecord, read_record


@dataclasses.dataclass(frozen=True)
class StageData:
    """One run of the pipeline.

    Attributes:
      name: its sub-folder.
      title: its row in the table; '' for the pretraining, which has none.
      record: what its `config.json` holds.
      metrics: the lines of its `metrics.jsonl`.
      report: of its classifier; None where there is none.
      command: the words of the command line that runs it alone.
    """

    name: str
    title: str
    record: RunRecord
    metrics: list[dict[str, Any]]
    report: ClassificationReport | None
    command: list[str]

    @property
    def top_1(self) -> Interval:
        """Accuracy, of a stage that was evaluated."""
        return self.report.scores["top_1"]

    @property
    def parameters(self) -> int:
        """Size of its network."""
        return self.record.derived.parameters

    @property
    def drawn(self) -> tuple[Metric, ...]:
        """The metrics that it may have logged."""
        return metrics_of(self.record)

    @property
    def labels(self) -> Mapping[str, int] | None:
        """{class: labelled training images}; None where unknown or equal."""
        return self.record.derived.unequal_labels

    @property
    def chance(self) -> Mapping[str, float]:
        """Scores of a network that knows nothing, by metric."""
        return self.record.derived.chance or {}


@dataclasses.dataclass(frozen=True)
class PipelineData:
    """A whole pipeline.

    Attributes:
      stages: in the order in which they ran; the last one is the student.
      result: what the pipeline's `result.json` holds.
      views: float (rows, n, s, s, 3), training views of the pretraining: one
        row per view.
      planes: {title: features in the plane} of one set of images.
      plane_labels: the classes of those images, -1 where unknown.
      split: name of the images that scores are of.
      mistakes: float (n, s, s, 3), the pictures of the student's mistakes.
      carried: the row of labels that are carried along the pretrained
        features, which is no run of its own; None where it is not known.
      suspicious: captions and float (n, s, s, 3) pictures of the labels that
        the others contradict most, and the number of all of these.
    """

    stages: tuple[StageData, ...]
    result: dict[str, Any]
    views: np.ndarray
    planes: dict[str, FeaturePlane]
    plane_labels: np.ndarray
    split: str
    mistakes: np.ndarray
    carried: StageData | None = None
    suspicious: tuple[Sequence[str], np.ndarray, int] | None = None

    @property
    def evaluated(self) -> list[StageData]:
        """The stages that left an evaluation."""
        return [stage for stage in self.stages if stage.title]

    @property
    def scored(self) -> list[StageData]:
        """The rows of the table: what needs no training before what does."""
        found = self.evaluated
        if self.carried is not None:
            found.insert(1, self.carried)
        return found

    @property
    def student(self) -> StageData:
        """The last stage."""
        return self.stages[-1]

    @property
    def dataset(self) -> str:
        """A short name of the data."""
        name = self.student.record.dataset.name
        return os.path.basename(name.rstrip("/")) or name


def read_stage(
    folder: str, name: str, title: str, command: list[str]
) -> StageData:
    """Reads what the run in `folder` left behind."""
    path = os.path.join(folder, EVALUATION_FILE)
    found = from_json(read_json(path)) if os.path.exists(path) else None
    with open(os.path.join(folder, "metrics.jsonl"), encoding="utf-8") as file:
        metrics = [json.loads(line) for line in file]
    return StageData(
        name=name,
        title=title,
        record=read_record(folder),
        metrics=metrics,
        report=found,
        command=command,
    )
