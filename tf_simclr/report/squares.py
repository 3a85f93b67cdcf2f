"""A confusion matrix, and confidence against accuracy."""

from collections.abc import Sequence

import numpy as np

from tf_simclr.evaluation.calibration import Reliability
from tf_simclr.report import svg
from tf_simclr.report.evaluation_charts import (
    ConfusionCells,
    confusion_cells,
    reliability_bars,
)

_SIDE = 420.0
_LEFT, _TOP = 62.0, 40.0
# More classes than this would be finer than pixels.
MOST_CLASSES = 60


def confusion_chart(
    title: str, matrix: np.ndarray, names: Sequence[str]
) -> str:
    """Rows are classes, columns what they were taken for.

    Args:
      title: for those who cannot see it.
      matrix: int (C, C), C at most `MOST_CLASSES`.
      names: C short names.
    """
    count = len(matrix)
    cell = (_SIDE - _LEFT) / count
    cells = confusion_cells(matrix, names)
    parts = [
        svg.text(_LEFT, 12, "taken for", class_="unit"),
        svg.text(0, _TOP - 10, "class", class_="unit"),
    ]
    for index, name in enumerate(cells.names):
        middle = (index + 0.5) * cell
        parts.append(
            svg.text(_LEFT - 8, _TOP + middle + 4, name, text_anchor="end")
        )
        parts.append(
            svg.text(_LEFT + middle, _TOP - 8, name[:3], text_anchor="middle")
        )
    for row in range(count):
        for column in range(count):
            parts.append(
                _cell(
                    _LEFT + column * cell,
                    _TOP + row * cell,
                    cell,
                    cells,
                    row,
                    column,
                )
            )
    return svg.canvas(_SIDE, _SIDE + _TOP - _LEFT, title, *parts)


def reliability_chart(title: str, bins: Reliability) -> str:
    """Accuracy by confidence; the dashed line is where they agree."""
    side, left, bottom = 300.0, 40.0, 34.0
    across = svg.linear(0.0, 1.0, left, side - 8)
    up = svg.linear(0.0, 1.0, side - bottom, 8)
    parts = []
    for tick in (0.0, 0.5, 1.0):
        ends = [(across(0.0), up(tick)), (across(1.0), up(tick))]
        parts.append(svg.path(ends, class_="grid"))
        mark = f"{100 * tick:g} %"
        parts.append(svg.text(left - 6, up(tick) + 4, mark, text_anchor="end"))
        parts.append(
            svg.text(
                across(tick), side - bottom + 16, mark, text_anchor="middle"
            )
        )
    for bar in reliability_bars(bins):
        start, end = across(bar.left), across(bar.right)
        top = up(bar.accuracy)
        parts.append(
            svg.element(
                "rect",
                x=start + 1,
                y=top,
                width=end - start - 2,
                height=up(0.0) - top,
                rx=2,
                class_="bar c0",
            )
        )
        parts.append(
            svg.element(
                "circle",
                cx=across(bar.confidence),
                cy=top,
                r=3,
                class_="dot c1",
            )
        )
    ends = [(across(0.0), up(0.0)), (across(1.0), up(1.0))]
    parts.append(svg.path(ends, class_="chance"))
    parts.append(
        svg.text(
            side - 8, side - 2, "confidence", text_anchor="end", class_="unit"
        )
    )
    return svg.canvas(side, side, title, *parts)


def _cell(
    x: float,
    y: float,
    side: float,
    cells: ConfusionCells,
    row: int,
    column: int,
) -> str:
    share = float(cells.shares[row, column])
    # No image: a faint square, so that the eye finds row and column.
    strength = 0.06 if not share else 0.12 + 0.88 * share
    square = svg.element(
        "rect",
        x=x + 0.75,
        y=y + 0.75,
        width=side - 1.5,
        height=side - 1.5,
        rx=min(3.0, side / 8),
        class_="right" if row == column or not share else "wrong",
        fill_opacity=strength,
    )
    number = cells.numbers.get((row, column))
    if number is None:
        return square
    return square + svg.text(
        x + side / 2,
        y + side / 2 + 4,
        number,
        text_anchor="middle",
        class_="inside" if cells.is_dark(row, column) else "",
    )
