"""Markup and style of a report's page: light, dark and on paper."""

import base64
import html
from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def page(title: str, body: str) -> str:
    """A whole document; `title` is a text, `body` is HTML."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,'
        ' initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{CSS}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(title: str, words: str, content: str) -> str:
    """A part of the page."""
    note = f'<p class="note">{words}</p>' if words else ""
    return f"<section>\n<h2>{title}</h2>\n{note}{content}\n</section>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], chief: int = -1
) -> str:
    """A table; row `chief` stands out."""
    lines = "".join(
        f"<tr{' class=chief' * (index == chief)}>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row)
        + "</tr>"
        for index, row in enumerate(rows)
    )
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return (
        f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table>"
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Names beside their colors."""
    items = "".join(
        f'<li><i class="{"dashes" if style == "chance" else style}"></i>'
        f"{html.escape(name)}</li>"
        for name, style in entries
    )
    return f'<ul class="legend">{items}</ul>'


# Up to this size pixels are kept as they are, and shown as squares.
_PIXELS = 64


def picture(image: np.ndarray, caption: str) -> str:
    """An `img` element that holds its own data.

    Args:
      image: float (h, w, 3) in [0, 1].
      caption: for those who cannot see it.
    """
    pixels = tf.image.convert_image_dtype(image, tf.uint8, saturate=True)
    if max(pixels.shape[:2]) <= _PIXELS:
        kind, data, style = "png", tf.io.encode_png(pixels), ' class="pixels"'
    else:
        kind, data, style = "jpeg", tf.io.encode_jpeg(pixels, quality=88), ""
    encoded = base64.b64encode(data.numpy()).decode("ascii")
    return (
        f'<img{style} alt="{html.escape(caption)}"'
        f' src="data:image/{kind};base64,{encoded}">'
    )


CSS = """\
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --card: #ffffff; --ink: #1d2433; --quiet: #667085;
  --line: #e4e2dd; --accent: #2f5fd0; --accent-soft: #eaf0fd;
  --c0: #2f5fd0; --c1: #d1495b; --c2: #8a8f9c; --c3: #2a9d6f;
  --base: #b3b8c4;
  --right: #2f5fd0; --wrong: #d1495b; --code: #f4f2ee;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12151c; --card: #1a1f29; --ink: #e7eaf0; --quiet: #98a2b3;
    --line: #2c3341; --accent: #8bb0ff; --accent-soft: #1d2940;
    --c0: #7ea6ff; --c1: #ff8a8f; --c2: #8c94a5; --c3: #58d0a2;
    --base: #566073;
    --right: #7ea6ff; --wrong: #ff8a8f; --code: #141922;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Liberation Sans", Arial, sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 1040px; margin: 0 auto; padding: 48px 24px 72px; }
header { margin-bottom: 28px; }
.eyebrow {
  color: var(--accent); font-size: 13px; font-weight: 600;
  letter-spacing: .08em; text-transform: uppercase; margin: 0 0 6px;
}
h1 { font-size: 38px; line-height: 1.15; letter-spacing: -.02em;
  margin: 0 0 12px; }
h2 { font-size: 22px; letter-spacing: -.01em; margin: 52px 0 6px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 0 0 12px; max-width: 74ch; }
.lede { font-size: 18px; color: var(--quiet); }
.lede strong { color: var(--ink); }
.note { color: var(--quiet); font-size: 14px; max-width: 96ch; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px 20px; break-inside: avoid;
}
.tiles, .two, .stages, .commands { display: grid; gap: 16px; }
.commands { grid-template-columns: minmax(0, 1fr); }
.tiles { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr));
  margin: 24px 0 16px; }
.two { grid-template-columns: repeat(auto-fit, minmax(340px, 1fr)); }
.stages { grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); }
.tile b { display: block; font-size: 30px; line-height: 1.2;
  letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
.tile span { color: var(--quiet); font-size: 14px; }
.tile.chief { background: var(--accent-soft); border-color: transparent; }
.tile.chief b { color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 12px;
  border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
tr.chief td { font-weight: 650; }
.scroll { overflow-x: auto; }
.facts td, .facts th { text-align: left; }
pre {
  background: var(--code); border: 1px solid var(--line); border-radius: 8px;
  margin: 0; padding: 12px 14px; overflow-x: auto;
  font: 12.5px/1.6 ui-monospace, "SF Mono", Menlo, Consolas,
    "Liberation Mono", monospace;
}
figure { margin: 0; }
figcaption { color: var(--quiet); font-size: 13px; margin-top: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 12px; color: var(--quiet);
  font-size: 12px; margin: 6px 0 4px; padding: 0; list-style: none; }
.legend li { display: flex; align-items: center; gap: 6px; }
.legend i { width: 14px; height: 3px; border-radius: 2px;
  background: currentColor; flex: none; }
.legend i.spot { width: 10px; height: 10px; border-radius: 50%; }
.legend i.dashes { width: 23px; height: 2px; border-radius: 0;
  background: repeating-linear-gradient(90deg, var(--quiet) 0 5px,
    transparent 5px 9px); }
.views { display: grid; gap: 8px;
  grid-template-columns: auto repeat(var(--columns), 1fr);
  align-items: center; font-size: 13px; color: var(--quiet); }
.wide { grid-column: 1 / -1; }
.panels { display: grid; gap: 12px 32px; align-items: center;
  grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }
.mistakes { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(132px, 1fr)); }
.mistakes figcaption { text-align: center; line-height: 1.35;
  overflow-wrap: anywhere; }
.mistakes b { color: var(--ink); }
img { display: block; width: 100%; border-radius: 8px; }
img.pixels { image-rendering: pixelated; }
svg { display: block; width: 100%; height: auto; overflow: visible;
  font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
    "Liberation Sans", Arial, sans-serif; }
svg text { fill: var(--quiet); font-variant-numeric: tabular-nums; }
svg text.name { fill: var(--ink); font-size: 14px; }
svg text.figure { fill: var(--ink); font-size: 16px; font-weight: 650; }
svg text.inside { fill: var(--card); font-weight: 600; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .chance { stroke: var(--quiet); stroke-width: 1.25;
  stroke-dasharray: 5 4; }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
svg .halo { stroke: var(--card); stroke-width: 4; stroke-linecap: round;
  opacity: .65; }
svg .line { stroke: currentColor; stroke-width: 1.75;
  stroke-linejoin: round; }
svg .faint { opacity: .28; stroke-width: 1.25; }
svg .dot { fill: currentColor; stroke: var(--card); stroke-width: 1; }
svg .bar { fill: currentColor; }
svg .right { fill: var(--right); }
svg .wrong { fill: var(--wrong); }
.c0 { color: var(--c0); } .c1 { color: var(--c1); }
.c2 { color: var(--c2); } .c3 { color: var(--c3); }
.base { color: var(--base); }
svg .point { stroke: var(--card); stroke-width: .4; fill-opacity: .9; }
.unknown { color: var(--base); fill: var(--base); }
.k0 { color: #4e79a7; fill: #4e79a7; } .k1 { color: #f28e2b; fill: #f28e2b; }
.k2 { color: #e15759; fill: #e15759; } .k3 { color: #76b7b2; fill: #76b7b2; }
.k4 { color: #59a14f; fill: #59a14f; } .k5 { color: #d4b21f; fill: #d4b21f; }
.k6 { color: #b07aa1; fill: #b07aa1; } .k7 { color: #ff7f9a; fill: #ff7f9a; }
.k8 { color: #9c755f; fill: #9c755f; } .k9 { color: #8a8f9c; fill: #8a8f9c; }
footer { color: var(--quiet); font-size: 13px; margin-top: 56px; }
@media (max-width: 520px) {
  main { padding: 28px 16px 48px; }
  h1 { font-size: 30px; }
  .stages, .two { grid-template-columns: minmax(0, 1fr); }
}
@media print {
  body { background: none; }
  main { max-width: none; padding: 0; }
}
"""
