"""Accuracy against the labels spent, of labels given in an order."""

from tf_simclr.report.curves import Curve, line_chart
from tf_simclr.report.markup import legend, section, table
from tf_simclr.report.pipeline_data import PipelineData

_TITLE = "What the labels were worth"
_WORDS = (
    "Labels in the order in which they were given, carried along the"
    " pretrained features: no network was trained for it."
)
_CURVES = (
    ("accuracy", "accuracy", "c0"),
    ("estimate", "estimate: labels that follow from the others", "c1"),
)


def spent_section(data: PipelineData) -> str:
    """HTML; '' where labels have no order, or are too few."""
    found = data.result.get("labels_spent")
    if not found:
        return ""
    curves = [
        Curve(title, points, style)
        for key, title, style in _CURVES
        if (
            points := [
                (x["labels"], x[key]) for x in found if x[key] is not None
            ]
        )
    ]
    picture = line_chart(
        "accuracy against labels spent", curves, None, (0.0, 1.0), "labels"
    )
    names = [(curve.name, curve.style) for curve in curves]
    head, *rows = _rows(found)
    return section(
        _TITLE,
        _WORDS,
        f'<div class="card"><figure>{legend(names)}{picture}</figure>'
        f'<div class="scroll">{table(head, rows)}</div></div>',
    )


def spent_text(data: PipelineData) -> str:
    """Markdown; '' where there is no section."""
    found = data.result.get("labels_spent")
    if not found:
        return ""
    head, *rows = (f"| {' | '.join(cells)} |" for cells in _rows(found))
    lines = [head, f"|{'---:|' * len(_rows(found)[0])}", *rows]
    return "\n".join([f"## {_TITLE}", "", _WORDS, "", *lines])


def _rows(found: list[dict]) -> list[list[str]]:
    head = ["labels", "accuracy", "estimate"]
    rows = [
        [
            f"{each['labels']:,}",
            *(
                "" if each[key] is None else f"{each[key]:.4f}"
                for key in head[1:]
            ),
        ]
        for each in found
    ]
    return [head, *rows]
