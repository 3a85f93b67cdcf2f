"""Names that a misspelt one may have meant."""

from collections.abc import Iterable

# At most this share of the letters may be wrong.
_MOST_ERRORS = 0.5


def suggestions(attempt: str, names: Iterable[str]) -> list[str]:
    """Returns the names that begin most like `attempt`, sorted.

    They are those that the command line suggests: all with the least number
    of errors, where that is below half the letters.
    """
    if len(attempt) <= 2:
        return []
    errors = {
        name: _edit_distance(attempt, name[: len(attempt)]) for name in names
    }
    least = min(errors.values(), default=len(attempt))
    if least >= _MOST_ERRORS * len(attempt):
        return []
    return sorted(name for name in errors if errors[name] == least)


def _edit_distance(first: str, second: str) -> int:
    """Insertions, deletions, replacements and swaps of neighbours."""
    before, last = [], list(range(len(second) + 1))
    for i, letter in enumerate(first, 1):
        row = [i]
        for j, other in enumerate(second, 1):
            errors = min(
                last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other)
            )
            if (
                min(i, j) > 1
                and letter == second[j - 2]
                and first[i - 2] == other
            ):
                errors = min(errors, before[j - 2] + 1)
            row.append(errors)
        before, last = last, row
    return last[-1]
