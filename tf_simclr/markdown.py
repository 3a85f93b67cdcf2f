"""Text of a user's in Markdown."""

import re

# All that Markdown, or GitHub's of it, may take for more than a character.
_MARKS = re.compile(r"([\\`*_\[\]<>|$~&#])")


def literal(text: str) -> str:
    """A text as it is, within a table or without, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(text.splitlines()))
