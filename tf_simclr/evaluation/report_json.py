"""A classification report as `evaluation.json` holds it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_simclr.evaluation.accuracy import Interval
from tf_simclr.evaluation.calibration import Reliability
from tf_simclr.evaluation.classification_report import (
    Calibration,
    ClassificationReport,
    Mistake,
)
from tf_simclr.evaluation.confusion import (
    ClassCounts,
    Confusions,
    f1,
    precision,
    recall,
)


def to_json(report: ClassificationReport) -> dict[str, Any]:
    """Converts a report to values that JSON can hold."""
    counts = report.classes
    columns = zip(
        report.class_names,
        precision(counts).tolist(),
        recall(counts).tolist(),
        f1(counts).tolist(),
        counts.present.tolist(),
        report.confusions.rows(),
        strict=True,
    )
    found: dict[str, Any] = {
        "images": report.count,
        "of": report.total,
        "scores": {k: v._asdict() for k, v in report.scores.items()},
        "classes": [
            {
                "name": name,
                "precision": p,
                "recall": r,
                "f1": f,
                "images": n,
                # Index of a class: how often that was the prediction.
                "predicted": {str(other): n for other, n in row.items()},
            }
            for name, p, r, f, n, row in columns
        ],
        "mistakes": [
            {"id": name, **mistake._asdict()}
            for name, mistake in zip(
                report.mistake_ids, report.mistakes, strict=True
            )
        ],
    }
    calibration = report.calibration
    if calibration is not None:
        found["calibration"] = {
            "temperature": calibration.temperature,
            "fitted_on": calibration.fitted_on,
            "measured_on": calibration.measured_on,
            "before": _bins(calibration.before),
            "after": _bins(calibration.after),
        }
    return found


def from_json(found: Mapping[str, Any]) -> ClassificationReport:
    """Reads what `to_json` gave."""
    classes = found["classes"]
    confusions = _read_confusions(classes)
    mistakes = [dict(entry) for entry in found["mistakes"]]
    ids = [entry.pop("id") for entry in mistakes]
    return ClassificationReport(
        count=found["images"],
        total=found.get("of", found["images"]),
        scores={k: Interval(**v) for k, v in found["scores"].items()},
        class_names=tuple(entry["name"] for entry in classes),
        classes=_class_counts(confusions),
        confusions=confusions,
        calibration=_read_calibration(found.get("calibration")),
        mistakes=[Mistake(**entry) for entry in mistakes],
        mistake_ids=ids,
    )


def _read_confusions(classes: Sequence[Mapping[str, Any]]) -> Confusions:
    cells = [
        (index, other, times)
        for index, entry in enumerate(classes)
        for other, times in sorted(
            (int(other), times) for other, times in entry["predicted"].items()
        )
    ]
    columns = np.array(cells, np.int64).reshape(-1, 3).T
    return Confusions(*columns, num_classes=len(classes))


def _class_counts(found: Confusions) -> ClassCounts:
    right = found.labels == found.predictions

    def sums(classes: np.ndarray, times: np.ndarray) -> np.ndarray:
        counts = np.zeros(found.num_classes, np.int64)
        np.add.at(counts, classes, times)
        return counts

    return ClassCounts(
        sums(found.labels[right], found.times[right]),
        sums(found.predictions, found.times),
        sums(found.labels, found.times),
    )


def _bins(bins: Reliability) -> dict[str, Any]:
    return {
        "expected_calibration_error": bins.error,
        "bins": [
            {"confidence": float(c), "accuracy": float(a), "images": int(n)}
            for c, a, n in zip(*bins, strict=True)
        ],
    }


def _read_calibration(found: Mapping[str, Any] | None) -> Calibration | None:
    if found is None:
        return None
    before, after = (
        Reliability(
            *(
                np.array([entry[key] for entry in found[part]["bins"]])
                for key in ("confidence", "accuracy", "images")
            )
        )
        for part in ("before", "after")
    )
    return Calibration(
        temperature=found["temperature"],
        before=before,
        after=after,
        fitted_on=found["fitted_on"],
        measured_on=found["measured_on"],
    )
