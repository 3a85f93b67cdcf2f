"""Figures of an evaluation as PNG images, drawn by matplotlib.

matplotlib is imported when something is drawn, and without its global state.
"""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tf_simclr.drawing import plain
from tf_simclr.evaluation.calibration import Reliability
from tf_simclr.report.evaluation_charts import (
    confusion_cells,
    reliability_bars,
    short,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of a grid of pictures: columns, the size of a cell, and the gap around its
# picture, in inches.
_COLUMNS = 4
_CELL = (2.0, 2.3)
_GAP = 0.06


def confusion_figure(
    matrix: np.ndarray, class_names: Sequence[str], group: int = 1
) -> bytes:
    """A confusion matrix; the color is the share of the row's class.

    Args:
      matrix: int (C, C), rows are labels, columns predictions.
      class_names: C names.
      group: how many neighbouring classes a row or column stands for.
    """
    count = len(matrix)
    groups = f" (groups of {group} classes)" if group > 1 else ""
    side = float(np.clip(2.5 + 0.35 * count, 4.0, 9.0))
    figure = _figure(side, side)
    axes = figure.add_subplot()
    shown = [plain(short(name)) for name in class_names]
    cells = confusion_cells(matrix, shown)
    axes.imshow(cells.shares, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xlabel(f"prediction{groups}")
    axes.set_ylabel(f"label{groups}")
    if cells.names:
        axes.set_yticks(range(count), cells.names)
        turned = 90 if max(map(len, cells.names)) > 2 else 0
        axes.set_xticks(range(count), cells.names, rotation=turned)
    for (row, column), number in cells.numbers.items():
        axes.text(
            column,
            row,
            number,
            ha="center",
            va="center",
            fontsize=8,
            color="white" if cells.is_dark(row, column) else "#1b2a41",
        )
    return _png(figure)


def reliability_figure(before: Reliability, after: Reliability) -> bytes:
    """Accuracy against confidence, before and after temperature scaling."""
    figure = _figure(8.0, 4.2)
    titles = ("before temperature scaling", "after temperature scaling")
    for index, (bins, title) in enumerate(
        zip((before, after), titles, strict=True)
    ):
        axes = figure.add_subplot(1, 2, index + 1)
        bars = reliability_bars(bins)
        accuracies = [bar.accuracy for bar in bars]
        axes.bar(
            [bar.left for bar in bars],
            accuracies,
            [bar.right - bar.left for bar in bars],
            align="edge",
            color="#4477aa",
            edgecolor="white",
            alpha=0.85,
            label="accuracy",
        )
        axes.plot(
            [bar.confidence for bar in bars],
            accuracies,
            "o",
            color="#cc6677",
            markersize=4,
            label="mean confidence",
        )
        axes.plot([0, 1], [0, 1], "--", color="gray", linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence")
        axes.set_title(f"{title}\nECE {bins.error:.1%}", fontsize=10)
        if not index:
            axes.set_ylabel("accuracy")
            axes.legend(fontsize=8, loc="upper left")
    return _png(figure)


def picture_grid(
    pictures: np.ndarray, captions: Sequence[str], columns: int = _COLUMNS
) -> bytes:
    """Pictures with a caption above each.

    Args:
      pictures: float (n, h, w, 3) in [0, 1], n above 0.
      captions: n texts.
      columns: pictures in a row.
    """
    rows = -(-len(pictures) // columns)
    figure = _figure(_CELL[0] * columns, _CELL[1] * rows, layout=None)
    # One pair of axes, in inches, since each pair takes a while to lay out.
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    for index, (picture, caption) in enumerate(
        zip(pictures, captions, strict=True)
    ):
        row, column = divmod(index, columns)
        left, top = _CELL[0] * column, _CELL[1] * row
        right, bottom = left + _CELL[0] - _GAP, top + _CELL[1] - _GAP
        top = bottom - (right - left - _GAP)
        axes.imshow(
            np.clip(picture, 0.0, 1.0),
            interpolation="nearest",
            extent=(left + _GAP, right, bottom, top),
        )
        axes.text(
            (left + _GAP + right) / 2,
            top - _GAP,
            plain(caption),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axes.set(xlim=(0, _CELL[0] * columns), ylim=(_CELL[1] * rows, 0))
    axes.axis("off")
    return _png(figure)


def _figure(
    width: float, height: float, layout: str | None = "constrained"
) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout=layout)


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    target = io.BytesIO()
    FigureCanvasAgg(figure).print_png(target)
    return target.getvalue()
