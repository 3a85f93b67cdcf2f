"""The curves of a run, from its `metrics.jsonl`."""

from typing import NamedTuple

from tf_simclr.report.charts.lines import Curve, line_chart
from tf_simclr.report.pipeline_data import StageData

# The loss that a stage minimises, the first of these that it has.
_LOSSES = {
    "contrast_loss": "contrastive loss",
    "distillation_loss": "distillation loss",
    "supervised_loss": "cross-entropy",
}
# Accuracies: metric -> (split, name, style).
_ACCURACIES = {
    "contrast_acc": ("train", "contrastive", "c2"),
    "supervised_acc": ("train", "batch top-1", "c0"),
    "eval/label_top_1_accuracy": ("eval", "eval top-1", "c1"),
    "eval/knn_top_1_accuracy": ("eval", "eval k-NN", "c3"),
}
# Classes are guessed at a rate that all but one of the accuracies share.
_CLASS_CHANCE = "eval/label_top_1_accuracy"


class Chart(NamedTuple):
    """One chart with its legend.

    Attributes:
      title: what it shows.
      svg: the picture.
      legend: (name, style) of each curve; the style `chance` is the level's.
    """

    title: str
    svg: str
    legend: list[tuple[str, str]]


def stage_charts(stage: StageData) -> list[Chart]:
    """Loss and accuracy over the steps of a run."""
    charts = []
    for metric, title in _LOSSES.items():
        points = _points(stage, "train", metric)
        if points:
            curves = [Curve(title, points, "c0")]
            level = stage.chance.get(metric)
            charts.append(_chart(stage, title, curves, level))
            break
    curves = [
        Curve(name, points, style, noisy=split == "train")
        for metric, (split, name, style) in _ACCURACIES.items()
        if (points := _points(stage, split, metric))
    ]
    if curves:
        level = stage.chance.get(_CLASS_CHANCE)
        charts.append(_chart(stage, "accuracy", curves, level, (0.0, 1.0)))
    return charts


def _chart(
    stage: StageData,
    title: str,
    curves: list[Curve],
    level: float | None,
    bounds: tuple[float, float] | None = None,
) -> Chart:
    legend = [(curve.name, curve.style) for curve in curves]
    if level is not None:
        figure = "" if bounds else f" {level:.2f}"
        legend.append((f"chance{figure}", "chance"))
    picture = line_chart(f"{stage.name}: {title}", curves, level, bounds)
    return Chart(title, picture, legend)


def _points(
    stage: StageData, split: str, metric: str
) -> list[tuple[float, float]]:
    return [
        (line["step"], line[metric])
        for line in stage.metrics
        if line["split"] == split and line.get(metric) is not None
    ]
