"""Scores side by side."""

from collections.abc import Sequence
from typing import NamedTuple

from tf_simclr.evaluation.bootstrap import Interval
from tf_simclr.report.charts import svg

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
