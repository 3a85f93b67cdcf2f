"""Drawing with matplotlib: failures cost no result, and text is never a
formula."""

import contextlib
import re
import warnings
from collections.abc import Iterator

from tf_simclr.process import once_per_process
from tf_simclr.progress import say, say_once

# Fonts with the characters of many scripts, tried after matplotlib's own.
_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans"),
    *("WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS"),
    *("Noto Sans Arabic", "Noto Sans Devanagari", "FreeSans", "Unifont"),
)
_MISSING = "Glyph .* missing from"


def plain(text: str) -> str:
    """A text that matplotlib shows as it is.

    Dollar signs would begin a formula, a leading underscore would hide it from
    legends, and characters that are not printed have no picture.
    """
    text = "".join(x if x.isprintable() else " " for x in text)
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


@contextlib.contextmanager
def drawing(what: str) -> Iterator[None]:
    """Context in which pictures are drawn; a failure prints a line.

    Args:
      what: is drawn, for that line.
    """
    import matplotlib

    try:
        with (
            warnings.catch_warnings(record=True) as found,
            matplotlib.rc_context({"font.family": _families()}),
        ):
            warnings.simplefilter("always")
            yield
    except Exception as error:  # Whatever it is, results matter more.
        reason = (str(error).strip().splitlines() or [""])[0]
        say(f"{what} was not drawn: {type(error).__name__}: {reason}")
        return
    for warning in found:
        if re.match(_MISSING, str(warning.message)):
            say_once(
                "Some characters are boxes in the pictures, since no font here"
                " has them: install one, such as fonts-noto-cjk."
            )
        else:
            warnings.warn_explicit(
                warning.message,
                warning.category,
                warning.filename,
                warning.lineno,
            )


@once_per_process
def _families() -> list[str]:
    """matplotlib's own fonts, then those that are here for what they lack."""
    import matplotlib
    from matplotlib import font_manager

    there = set(font_manager.get_font_names())
    more = [name for name in _FONTS if name in there]
    return [*matplotlib.rcParams["font.family"], *more]
