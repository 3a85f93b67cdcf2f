"""Pieces of the report's page."""

import html
from collections.abc import Sequence


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
