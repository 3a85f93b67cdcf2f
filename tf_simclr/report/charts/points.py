"""Points in the plane, in the colors of their classes."""

import colorsys
from collections.abc import Sequence

import numpy as np

from tf_simclr.report.charts import svg

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
