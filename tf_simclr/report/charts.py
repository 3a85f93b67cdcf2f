"""Charts in SVG: scores side by side, points in a plane."""

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.accuracy import Interval
from tf_simclr.report import svg

_WIDTH, _ROW, _TOP, _BOTTOM = 760.0, 34.0, 6.0, 26.0
_LEFT, _RIGHT = 170.0, 96.0


class Bar(NamedTuple):
    """One row.

    Attributes:
      name: at its left.
      score: share in [0, 1], and its interval.
      style: CSS class of its color.
    """

    name: str
    score: Interval
    style: str


def bar_chart(
    title: str, bars: Sequence[Bar], level: float | None = None
) -> str:
    """Shares from 0 to 100 %, with intervals and their figures.

    Args:
      title: for those who cannot see it.
      bars: from top to bottom.
      level: a dashed line, such as that of chance.
    """
    height = _TOP + _ROW * len(bars) + _BOTTOM
    across = svg.linear(0.0, 1.0, _LEFT, _WIDTH - _RIGHT)
    bottom = height - _BOTTOM
    parts = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = across(tick)
        parts.append(svg.path([(x, _TOP), (x, bottom)], class_="grid"))
        parts.append(
            svg.text(x, bottom + 17, f"{100 * tick:g} %", text_anchor="middle")
        )
    if level is not None:
        x = across(level)
        parts.append(svg.path([(x, _TOP), (x, bottom)], class_="chance"))
    for index, bar in enumerate(bars):
        parts += _row(bar, across, _TOP + _ROW * index)
    return svg.canvas(_WIDTH, height, title, *parts)


def _row(bar: Bar, across: svg.Scale, top: float) -> list[str]:
    middle = top + _ROW / 2
    start, end = across(0.0), across(bar.score.value)
    low, high = across(bar.score.low), across(bar.score.high)
    whisker = [(low, middle), (high, middle)]
    caps = [[(x, middle - 4), (x, middle + 4)] for x in (low, high)]
    return [
        svg.text(
            _LEFT - 10, middle + 4, bar.name, text_anchor="end", class_="name"
        ),
        svg.element(
            "rect",
            x=start,
            y=top + 6,
            width=end - start,
            height=_ROW - 12,
            rx=3,
            class_=f"bar {bar.style}",
        ),
        *(
            svg.path(line, class_=style)
            for style in ("halo", "whisker")
            for line in (whisker, *caps)
        ),
        svg.text(
            _WIDTH - _RIGHT + 14,
            middle + 5,
            f"{100 * bar.score.value:.1f} %",
            class_="figure",
        ),
    ]


_SIDE, _MARGIN = 420.0, 12.0
# Classes that have a color of the page's; more take one of the color circle.
NAMED_COLORS = 10


def point_chart(
    title: str, points: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> str:
    """One point per image.

    Args:
      title: for those who cannot see it.
      points: (N, 2).
      labels: int (N,), -1 where unknown.
      classes: their names.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, max((high - low).max() / 2, 1e-9)
    inner = _SIDE / 2 - _MARGIN
    placed = _SIDE / 2 + (points - middle) / half * inner
    radius = float(np.clip(60.0 / np.sqrt(len(points)), 1.6, 5.0))
    groups = []
    for index in np.unique(labels):
        name = classes[index] if index >= 0 else "no label"
        dots = "".join(
            svg.element("circle", cx=float(x), cy=float(y), r=radius)
            for x, y in placed[labels == index]
        )
        groups.append(
            svg.element(
                "g",
                f"{svg.element('title', _plain(name))}{dots}",
                **color_of(int(index), len(classes)),
            )
        )
    return svg.canvas(_SIDE, _SIDE, title, *groups)


def color_of(index: int, count: int) -> dict[str, str]:
    """The attribute that colors class `index` of `count`."""
    if index < 0:
        return {"class_": "point unknown"}
    if count <= NAMED_COLORS:
        return {"class_": f"point k{index}"}
    channels = colorsys.hls_to_rgb(index / count, 0.55, 0.65)
    color = "".join(f"{round(255 * channel):02x}" for channel in channels)
    return {"class_": "point", "fill": f"#{color}"}


def _plain(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;")
