"""`evaluation.md`: a classification report in words and tables."""

from collections.abc import Mapping, Sequence

from tf_simclr.evaluation.accuracy import LEVEL, RESAMPLES, Interval
from tf_simclr.evaluation.calibration import TEMPERATURES
from tf_simclr.evaluation.classification_report import ClassificationReport
from tf_simclr.evaluation.confusion import most_confused
from tf_simclr.evaluation.sample import of_total
from tf_simclr.markdown import literal
from tf_simclr.report.recall import (
    class_rows,
    recall_comes_first,
    recall_table,
)

_TITLES = {
    "top_1": "top-1 accuracy",
    "top_5": "top-5 accuracy",
    "macro_f1": "macro-F1",
    "cohen_kappa": "Cohen's kappa",
}
_CONFUSED = 10


def evaluation_text(
    heading: str,
    scores: Mapping[str, float],
    report: ClassificationReport | None,
    files: Mapping[str, str],
    notes: Sequence[str] = (),
    labels: Mapping[str, int] | None = None,
) -> str:
    """Markdown; recall of each class comes first where classes are unequal.

    Args:
      heading: what was evaluated on what.
      scores: what `result.json` holds.
      report: of the classifier; None where there is none.
      files: {title: name} of pictures beside the text.
      notes: what a reader of the scores must know, in Markdown.
      labels: {class: labelled training images}; None where unknown or equal.
    """
    parts = [f"# {literal(heading)}", *notes, _scores(scores)]
    if report is not None:
        first = recall_comes_first(report, labels)
        if first:
            parts.insert(len(parts) - 1, recall_table(report, labels))
        parts += [
            _intervals(report),
            _calibration(report),
            "" if first else _classes(report),
            _confusions(report),
        ]
    parts += [f"![{title}]({name})" for title, name in files.items()]
    return "\n\n".join(part for part in parts if part) + "\n"


def score_rows(scores: Mapping[str, Interval]) -> list[tuple[str, str, str]]:
    """(title, value, interval) of each score of a report."""
    return [
        (_TITLES[name], score_text(score.value), interval_text(score))
        for name, score in scores.items()
    ]


def interval_text(score: Interval) -> str:
    """Words such as '0.9123 to 0.9567'."""
    return f"{score_text(score.low)} to {score_text(score.high)}"


def score_text(value: float) -> str:
    """Words such as '0.9123'; a score that rounds to zero has no sign."""
    return f"{round(value, 4) + 0.0:.4f}"


def interval_note(report: ClassificationReport) -> str:
    """The meaning of the intervals, in words."""
    return (
        f"{100 * LEVEL:.0f} % intervals are Wilson's of accuracies and"
        f" percentiles of {RESAMPLES:,} bootstrap draws of macro-F1 and kappa,"
        f" over the {evaluated(report)} evaluation images: how far the score"
        " depends on these images, not on the training."
    )


def evaluated(report: ClassificationReport) -> str:
    """Words such as '3 of 7', or '7' where all images of the split were
    scored."""
    return of_total(report.count, report.total)


def _scores(scores: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:.6g} |" for name, value in scores.items()]
    return "\n".join(["| result.json | |", "|---|---:|", *rows])


def _intervals(report: ClassificationReport) -> str:
    rows = [
        f"| {title} | {value} | {interval} |"
        for title, value, interval in score_rows(report.scores)
    ]
    return "\n".join(
        [
            "## Scores",
            "",
            "| score | value | 95 % interval |",
            "|---|---:|---:|",
            *rows,
            "",
            interval_note(report),
            "Macro-F1 is the mean over the classes that occur.",
        ]
    )


def _calibration(report: ClassificationReport) -> str:
    found = report.calibration
    if found is None:
        return ""
    return (
        "## Calibration\n\n"
        f"Expected calibration error ({len(found.before.count)} bins of equal"
        f" width): **{found.before.error:.4f}**, and"
        f" **{found.after.error:.4f}** after temperature scaling. The"
        f" temperature {found.temperature:.3f}{_at_bound(found.temperature)}"
        " was fitted on"
        f" {found.fitted_on:,} evaluation images, drawn with a fixed seed;"
        f" both errors are of the other {found.measured_on:,}. No score"
        " depends on it."
    )


def _at_bound(temperature: float) -> str:
    """Says that a temperature is the lowest or highest that is tried."""
    if any(abs(temperature / bound - 1) < 1e-6 for bound in TEMPERATURES):
        return " (the bound of its search, so it says nothing)"
    return ""


def _classes(report: ClassificationReport) -> str:
    rows = [
        f"| {literal(row.name)} | {row.precision:.4f} | {row.recall:.4f} |"
        f" {row.f1:.4f} | {row.images:,} |"
        for row in class_rows(report)
    ]
    return "\n".join(
        [
            "## Classes",
            "",
            "| class | precision | recall | F1 | images |",
            "|---|---:|---:|---:|---:|",
            *rows,
        ]
    )


def _confusions(report: ClassificationReport) -> str:
    names = report.class_names
    rows = [
        f"| {literal(names[label])} | {literal(names[called])} | {times:,} |"
        for label, called, times in most_confused(report.confusions, _CONFUSED)
    ]
    if not rows:
        return ""
    head = ["## Taken for another", "", "| class | taken for | times |"]
    return "\n".join([*head, "|---|---|---:|", *rows])
