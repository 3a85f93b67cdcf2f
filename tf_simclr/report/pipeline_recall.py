"""Recall of each class by every stage of a pipeline."""

import html

from tf_simclr.markdown import literal
from tf_simclr.report.markup import section, table
from tf_simclr.report.pipeline_data import PipelineData
from tf_simclr.report.recall import (
    class_rows,
    rarest_first,
    recall_comes_first,
    why_recall,
)

# Rows of the table; the tables of the stages have all.
_MOST = 40
_TITLE = "Recall of each class"


def is_unequal(data: PipelineData) -> bool:
    """True if recall of each class comes before accuracy."""
    return any(recall_comes_first(s.report, s.labels) for s in data.scored)


def recall_text(data: PipelineData) -> str:
    """Markdown; '' where classes are about equal."""
    if not is_unequal(data):
        return ""
    head, *rows = _rows(data)
    lines = [
        f"| {' | '.join([literal(name), *cells])} |" for name, *cells in rows
    ]
    return "\n".join(
        [
            f"## {_TITLE}",
            "",
            _reason(data),
            "",
            f"| {' | '.join(head)} |",
            f"|---|{'---:|' * (len(head) - 1)}",
            *lines,
        ]
    )


def recall_section(data: PipelineData) -> str:
    """HTML; '' where classes are about equal."""
    if not is_unequal(data):
        return ""
    head, *rows = _rows(data)
    reason = html.escape(_reason(data).replace("**", ""))
    content = f'<div class="card scroll">{table(head, rows)}</div>'
    return section(_TITLE, reason, content)


def _reason(data: PipelineData) -> str:
    student = data.student
    # Of the student, whose score it names, and the labels of all stages.
    rows = class_rows(student.report, _labels(data))
    more = len(rows) - _MOST
    rest = f" {more:,} larger classes are left out here." if more > 0 else ""
    return f"Of the {student.title}: {why_recall(rows, student.report)}{rest}"


def _rows(data: PipelineData) -> list[list[str]]:
    labels = _labels(data)
    shown = rarest_first(class_rows(data.student.report, labels))[:_MOST]
    found = [
        {row.name: row.recall for row in class_rows(stage.report)}
        for stage in data.scored
    ]
    head = ["class", "images", *(["labels"] if labels else [])]
    rows = []
    for row in shown:
        cells = [row.name, f"{row.images:,}"]
        cells += [f"{row.labels or 0:,}"] if labels else []
        for recalls in found:
            # A stage may know other classes.
            known = row.name in recalls
            cells.append(f"{recalls[row.name]:.4f}" if known else "-")
        rows.append(cells)
    return [[*head, *(stage.title for stage in data.scored)], *rows]


def _labels(data: PipelineData) -> dict[str, int] | None:
    """Labels of the first stage that notes them."""
    noted = (stage.labels for stage in data.scored if stage.labels)
    return next(noted, None)
