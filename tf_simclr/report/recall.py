"""Recall of each class, which comes first where classes are unequal."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from tf_simclr.data.imbalance import are_unequal
from tf_simclr.evaluation.accuracy import LEVEL
from tf_simclr.evaluation.classification_report import ClassificationReport
from tf_simclr.evaluation.confusion import f1, precision, recall
from tf_simclr.markdown import literal


class ClassRow(NamedTuple):
    """The scores of a class.

    Attributes:
      name: of the class.
      recall, precision, f1: each in [0, 1].
      images: evaluation images of the class.
      labels: labelled training images; None where they are not known.
    """

    name: str
    recall: float
    precision: float
    f1: float
    images: int
    labels: int | None


def recall_comes_first(
    report: ClassificationReport, labels: Mapping[str, int] | None
) -> bool:
    """True if the classes of the evaluation images, or of the labels that a
    run learned from, are unequal.

    Args:
      report: of the classifier.
      labels: {class: labelled training images}; None where unknown or equal.
    """
    learned = np.array([*(labels or {}).values()], int)
    return are_unequal(report.classes.present) or are_unequal(learned)


def class_rows(
    report: ClassificationReport, labels: Mapping[str, int] | None = None
) -> list[ClassRow]:
    """One row per class, in the order of the classes; takes what
    `recall_comes_first` takes."""
    counts = report.classes
    columns = zip(
        report.class_names,
        recall(counts).tolist(),
        precision(counts).tolist(),
        f1(counts).tolist(),
        counts.present.tolist(),
        strict=True,
    )
    known = labels or {}
    return [ClassRow(*column, known.get(column[0])) for column in columns]


def rarest_first(rows: list[ClassRow]) -> list[ClassRow]:
    """By labels, then by images."""
    return sorted(rows, key=lambda row: (row.labels or 0, row.images))


def why_recall(rows: list[ClassRow], report: ClassificationReport) -> str:
    """A Markdown line: why accuracy means little with unequal classes.

    Args:
      rows: from `class_rows`.
      report: of the classifier.
    """
    images = [row.images for row in rows if row.images]
    sizes = f"{min(images):,} to {max(images):,} evaluation images"
    labels = [row.labels for row in rows if row.labels]
    if labels:
        sizes = f"{min(labels):,} to {max(labels):,} labels and {sizes}"
    score = report.scores["macro_f1"]
    return (
        f"Classes are unequal ({sizes}): accuracy is above all that of the"
        f" large ones. Macro-F1 is **{score.value:.4f}**"
        f" ({100 * LEVEL:.0f} % interval {score.low:.4f} to {score.high:.4f})."
    )


def recall_table(
    report: ClassificationReport, labels: Mapping[str, int] | None
) -> str:
    """Markdown: the rarest class first; takes what `recall_comes_first`
    takes."""
    rows = class_rows(report, labels)
    head = ["class", "recall", "precision", "F1", "images"]
    head += ["labels"] if labels else []
    lines = [
        "## Recall of each class",
        "",
        why_recall(rows, report),
        "",
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 1)}",
    ]
    for row in rarest_first(rows):
        cells = [literal(row.name), f"{row.recall:.4f}", f"{row.precision:.4f}"]
        cells += [f"{row.f1:.4f}", f"{row.images:,}"]
        cells += [f"{row.labels or 0:,}"] if labels else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
