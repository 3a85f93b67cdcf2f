"""Names like one that names nothing."""

import difflib
import os
from collections.abc import Iterable


def path_meant(path: str, others: Iterable[str] = ()) -> str:
    """A sentence that asks whether another path was meant; '' if none in the
    same folder is like this one.

    Args:
      path: of a file or folder that is not there.
      others: names that would do without a folder.
    """
    folder, own = os.path.split(path.rstrip("/"))
    there = os.path.expanduser(folder) or "."
    names = [*os.listdir(there)] if os.path.isdir(there) else []
    if not folder:
        names += others
    plain = {each.casefold(): each for each in names}
    close = difflib.get_close_matches(own.casefold(), plain, 1)
    if not close:
        return ""
    return f" Did you mean {os.path.join(folder, plain[close[0]])}?"
