"""`predictions.html`: classified images, the least sure first."""

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tf_simclr.evaluation.classify import Prediction
from tf_simclr.report.markup import page, picture, section, table

# Rows of the table of classes and of unreadable files; the rest is counted.
_ROWS = 100


class Shown(NamedTuple):
    """An image of the page.

    Attributes:
      prediction: what was found about it.
      picture: float (h, w, 3) in [0, 1].
    """

    prediction: Prediction
    picture: np.ndarray


def prediction_page(
    title: str, predictions: Sequence[Prediction], shown: Sequence[Shown]
) -> str:
    """HTML with its style and pictures inside, and no script.

    Args:
      title: what was classified.
      predictions: of all files.
      shown: some of them, in order.
    """
    good = [found for found in predictions if not found.problem]
    bad = [found for found in predictions if found.problem]
    body = "\n".join(
        [
            f"<header><h1>{html.escape(title)}</h1>"
            f'<p class="lede">{len(good):,} images classified,'
            f" {len(bad):,} files not readable.</p></header>",
            _sheet(shown, len(good)),
            _classes(good),
            _problems(bad),
        ]
    )
    return page(title, body)


def _sheet(shown: Sequence[Shown], count: int) -> str:
    figures = "".join(
        f"<figure>{picture(image, found.file)}<figcaption>"
        f"<b>{html.escape(found.class_name or 'unsure')}</b>"
        f" {100 * found.probability:.0f} %{_others(found)}"
        f"{'<br>unlike the training images' * found.is_novel}<br>"
        f"{html.escape(found.file)}</figcaption></figure>"
        for found, image in shown
    )
    words = "All images, the least sure first."
    if len(shown) < count:
        words = f"The {len(shown):,} least sure of {count:,} images."
    return section(
        "Images", words, f'<div class="card mistakes">{figures}</div>'
    )


def _others(found: Prediction) -> str:
    """The next likeliest classes."""
    likely = found.top if not found.class_name else found.top[1:]
    return "".join(
        f"<br>{html.escape(name)} {100 * share:.0f} %" for name, share in likely
    )


def _classes(good: Sequence[Prediction]) -> str:
    counts: dict[str, int] = {}
    for found in good:
        name = found.class_name or "unsure"
        counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    rows = [(name, f"{count:,}") for name, count in ordered[:_ROWS]]
    note = f"The {_ROWS} most frequent." if len(ordered) > _ROWS else ""
    content = (
        f'<div class="card scroll">{table(("class", "images"), rows)}</div>'
    )
    return section("Classes", note, content)


def _problems(bad: Sequence[Prediction]) -> str:
    if not bad:
        return ""
    rows = [(found.file, found.problem) for found in bad[:_ROWS]]
    note = f"The first {_ROWS} of {len(bad):,}." if len(bad) > _ROWS else ""
    content = table(("file", "why"), rows)
    return section(
        "Not readable", note, f'<div class="card facts scroll">{content}</div>'
    )
