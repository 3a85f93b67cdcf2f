"""Exceptions that the command line prints as one sentence."""

from collections.abc import Sequence


class UserError(Exception):
    """A mistake that the user can mend: bad flag, file or data.

    Its message is one or two plain sentences which name the flag, file or
    value and the way out. The command line prints it without a traceback and
    exits with code 2.
    """


class DataFailed(Exception):
    """An image could not be read in the middle of a run; exit code 1.

    Its message names the image, what is wrong with it and the way out.
    """


class ExportFailed(Exception):
    """An export does not compute the outputs of its network; exit code 1.

    Its message names the export and the difference.
    """


class StorageFailed(Exception):
    """Object storage cannot be read or written; exit code 1.

    Its message names the object and what the storage answered.
    """


def at_most(
    count: int,
    items: Sequence[object],
    *,
    separator: str = ", ",
    before_rest: str = " and ",
) -> str:
    """The first `count` items for a message, such as 'a, b and 7 more'.

    Args:
      count: how many items are named; the others are counted.
      items: what to name.
      separator: between two items.
      before_rest: before the number of the others.
    """
    named = separator.join(map(str, items[:count]))
    rest = len(items) - count
    return f"{named}{before_rest}{rest} more" if rest > 0 else named
