"""The curves of a run, from its `metrics.jsonl`."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tf_simclr.metrics import TOP_1, Metric
from tf_simclr.report import svg
from tf_simclr.report.pipeline_data import StageData

_WIDTH, _HEIGHT = 460.0, 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 10.0, 10.0, 30.0
# A moving average is over this part of a curve.
_SMOOTHED = 25
# Curves are thinned to about two points per pixel column.
_MOST_POINTS = 400


class Curve(NamedTuple):
    """One curve of a chart.

    Attributes:
      name: for the legend.
      points: (step, value), by step, or what else goes to the right.
      style: CSS class of its color, such as `c0`.
      noisy: whether it is drawn faintly, below its moving average.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    noisy: bool = False


def line_chart(
    title: str,
    curves: Sequence[Curve],
    level: float | None = None,
    bounds: tuple[float, float] | None = None,
    unit: str = "step",
) -> str:
    """Curves, dashed at a level to compare with.

    Args:
      title: for those who cannot see it.
      curves: at least one; a curve of one point is a dot.
      level: such as that of chance.
      bounds: of the values; by default what the curves need.
      unit: of what goes to the right.
    """
    steps = [x for curve in curves for x, _ in curve.points]
    values = [y for curve in curves for _, y in curve.points]
    values = [y for y in values if math.isfinite(y)] or [0.0]
    if level is not None:
        values.append(level)
    low, high = bounds or (min(0.0, *values), max(values) * 1.05)
    across = svg.linear(min(0, *steps), max(steps), _LEFT, _WIDTH - _RIGHT)
    up = svg.linear(low, high, _HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(across, up, (low, high), max(steps), unit)]
    if level is not None:
        y = up(level)
        parts.append(
            svg.path([(_LEFT, y), (_WIDTH - _RIGHT, y)], class_="chance")
        )
    for curve in curves:
        points = [(across(x), up(y)) for x, y in _thinned(curve.points)]
        style = f"line {curve.style}"
        if curve.noisy and len(points) > _SMOOTHED:
            parts.append(svg.path(points, class_=f"{style} faint"))
            points = _averaged(points)
        if len(points) > 1:
            parts.append(svg.path(points, class_=style))
        if len(points) < 12:
            parts += [
                svg.element(
                    "circle", cx=x, cy=y, r=3.2, class_=f"dot {curve.style}"
                )
                for x, y in points
            ]
    return svg.canvas(_WIDTH, _HEIGHT, title, *parts)


def _grid(
    across: svg.Scale,
    up: svg.Scale,
    bounds: tuple[float, float],
    last_step: float,
    unit: str,
) -> str:
    parts = []
    for value in svg.ticks(*bounds):
        y = up(value)
        parts.append(
            svg.path([(_LEFT, y), (_WIDTH - _RIGHT, y)], class_="grid")
        )
        parts.append(
            svg.text(_LEFT - 6, y + 4, svg.label(value), text_anchor="end")
        )
    bottom = _HEIGHT - _BOTTOM + 16
    for step in svg.ticks(0, last_step, 5):
        parts.append(
            svg.text(
                across(step), bottom, svg.label(step), text_anchor="middle"
            )
        )
    parts.append(
        svg.text(
            _WIDTH - _RIGHT,
            _HEIGHT - 2,
            unit,
            text_anchor="end",
            class_="unit",
        )
    )
    return "".join(parts)


def _thinned(
    points: Sequence[tuple[float, float]],
) -> list[tuple[float, float]]:
    finite = [point for point in points if math.isfinite(point[1])]
    every = -(-len(finite) // _MOST_POINTS) or 1
    return [*finite[:-1:every], *finite[-1:]]


def _averaged(
    points: Sequence[tuple[float, float]],
) -> list[tuple[float, float]]:
    """The mean of each point's neighbours on both sides."""
    reach = max(1, len(points) // _SMOOTHED)
    found = []
    for index, (x, _) in enumerate(points):
        # As many on one side as on the other.
        near = min(reach, index, len(points) - 1 - index)
        window = points[index - near : index + near + 1]
        found.append((x, sum(y for _, y in window) / len(window)))
    return found


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
    drawn = [
        (metric, points)
        for metric in stage.drawn
        if (points := _points(stage, metric))
    ]
    losses = [found for found in drawn if found[0].report == "loss"]
    if losses:
        # What the stage minimises comes first.
        metric, points = losses[0]
        curves = [Curve(metric.title, points, metric.style)]
        level = stage.chance.get(metric.name)
        charts.append(_chart(stage, metric.title, curves, level))
    curves = [
        Curve(
            metric.legend or metric.title,
            points,
            metric.style,
            noisy=metric.split == "train",
        )
        for metric, points in drawn
        if metric.report == "accuracy"
    ]
    if curves:
        # Classes are guessed at a rate that all but one of them share.
        level = stage.chance.get(TOP_1.name)
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


def _points(stage: StageData, metric: Metric) -> list[tuple[float, float]]:
    return [
        (line["step"], line[metric.name])
        for line in stage.metrics
        if line["split"] == metric.split and line.get(metric.name) is not None
    ]
