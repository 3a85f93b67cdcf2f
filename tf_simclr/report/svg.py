"""The few pieces of SVG that the charts are made of.

Colors are classes, which the page defines for light and dark.
"""

import html
import math
from collections.abc import Callable, Sequence

Scale = Callable[[float], float]


def element(name: str, content: str = "", **attributes: object) -> str:
    """An SVG element; `class_` becomes class, `text_anchor` text-anchor."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{content}</{name}>"


def text(x: float, y: float, words: str, **attributes: object) -> str:
    """A line of text."""
    return element("text", html.escape(words), x=x, y=y, **attributes)


def canvas(width: float, height: float, title: str, *content: str) -> str:
    """The whole picture; it takes the width that the page gives it."""
    return element(
        "svg",
        f"<title>{html.escape(title)}</title>{''.join(content)}",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
    )


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Maps [low, high] to [start, end]."""
    span = (high - low) or 1.0
    return lambda value: start + (value - low) / span * (end - start)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers from `low` to `high`."""
    span = (high - low) or 1.0
    raw = span / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 2.5, 5, 10) if unit * m >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def label(value: float) -> str:
    """A tick's label."""
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{round(value, 6):g}"


def path(points: Sequence[tuple[float, float]], **attributes: object) -> str:
    """A line through points."""
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}", fill="none", **attributes)


def _number(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return html.escape(str(value))
