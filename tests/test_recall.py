"""Recall of each class comes first where classes are unequal."""

import types

import numpy as np
import pytest

from tf_simclr.evaluation.classification_report import classification_report
from tf_simclr.evaluation.predict import Predictions
from tf_simclr.report.evaluation_text import evaluation_text
from tf_simclr.report.pipeline_recall import (
    is_unequal,
    recall_section,
    recall_text,
)
from tf_simclr.report.pipeline_text import result_table
from tf_simclr.report.recall import recall_comes_first

LABELS = {"common": 100, "ra|re": 5}


def report(common: int, rare: int, found: int):
    """Of two classes; all common images and `found` rare ones are right."""
    labels = np.repeat([0, 1], [common, rare])
    called = np.repeat([0, 1], [common + rare - found, found])
    return classification_report(
        Predictions(
            labels,
            3.0 * np.eye(2, dtype=np.float32)[called],
            ("common", "ra|re"),
            tuple(map(str, range(len(labels)))),
        )
    )


def text(found, labels=None) -> str:
    return evaluation_text("a run", {"eval/x": 0.5}, found, {}, (), labels)


@pytest.mark.parametrize(
    "sizes, labels, first",
    [
        ((6, 4), None, False),
        ((8, 5), None, True),
        # The images to score are equal, those to learn from are not.
        ((6, 6), LABELS, True),
        ((6, 6), {"common": 3, "ra|re": 2}, False),
    ],
)
def test_when_recall_comes_first(sizes, labels, first):
    found = report(*sizes, found=1)
    assert recall_comes_first(found, labels) is first
    shown = text(found, labels)
    titles = [x for x in shown.splitlines() if x.startswith("## ")]
    if first:
        assert titles[0] == "## Recall of each class"
        assert "## Classes" not in titles
        # Before any accuracy.
        assert shown.index("Recall of each") < shown.index("| result.json")
    else:
        assert "## Classes" in titles
        assert "Recall of each" not in shown


def test_the_rarest_class_stands_first_with_its_labels():
    found = report(40, 4, found=1)
    lines = text(found, LABELS).splitlines()
    head = lines.index("| class | recall | precision | F1 | images | labels |")
    assert lines[head + 2] == "| ra\\|re | 0.2500 | 1.0000 | 0.4000 | 4 | 5 |"
    assert lines[head + 3].startswith("| common | 1.0000 | 0.9302 |")
    score = found.scores["macro_f1"]
    assert f"Macro-F1 is **{score.value:.4f}**" in lines[head - 2]
    assert "5 to 100 labels and 4 to 40 evaluation images" in lines[head - 2]
    assert "labels" not in text(found).split("##")[1]


def stage(title, found, labels=None):
    return types.SimpleNamespace(
        title=title,
        report=found,
        labels=labels,
        top_1=found.scores["top_1"],
        parameters=7,
    )


def pipeline(labels=LABELS, sizes=(40, 4)):
    scored = [
        stage("<baseline>", report(*sizes, found=0), labels),
        stage("student", report(*sizes, found=3), labels),
    ]
    return types.SimpleNamespace(
        scored=scored, student=scored[-1], split="test"
    )


def test_a_pipeline_compares_the_recall_of_its_stages():
    data = pipeline()
    assert is_unequal(data)
    shown = recall_text(data)
    assert "| class | images | labels | <baseline> | student |" in shown
    assert "| ra\\|re | 4 | 5 | 0.0000 | 0.7500 |" in shown
    page = recall_section(data)
    assert "&lt;baseline&gt;" in page and "<baseline>" not in page
    assert page.index("ra|re") < page.index("common")
    macro = data.student.report.scores["macro_f1"].value
    table = result_table(data, macro_f1=True)
    assert "| test accuracy |" in table
    assert "| macro-F1 |" in table and f"| {macro:>8.4f} |" in table
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_pipeline_of_equal_classes_says_nothing_of_recall():
    data = pipeline(labels=None, sizes=(6, 5))
    assert not is_unequal(data)
    assert recall_text(data) == recall_section(data) == ""
    assert "macro-F1" not in result_table(data)
