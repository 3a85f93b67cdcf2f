"""The names of a teacher's classes, from a file with one a line."""

import os

from tf_simclr.errors import UserError
from tf_simclr.weights.export.saved_model import LABELS_FILE


def read_class_names(
    given: str | None, teacher: str, where: str
) -> tuple[str, ...]:
    """The names, in the order of the teacher's answers.

    Args:
      given: --class_names_file; None: `labels.txt` in the teacher's folder, or
        in the `assets` of that.
      teacher: its file or folder.
      where: names it in messages.

    Raises:
      UserError: there is no such file, or it cannot be used.
    """
    folder = teacher if os.path.isdir(teacher) else os.path.dirname(teacher)
    places = [
        os.path.join(folder, LABELS_FILE),
        os.path.join(folder, "assets", LABELS_FILE),
    ]
    path, flag = next(filter(os.path.exists, places), ""), ""
    if given:
        path, flag = given, f"--class_names_file={given}"
    elif not path:
        raise UserError(
            f"{where} does not tell the names of its classes, by which they are"
            " matched with those of the data: give --class_names_file=FILE, one"
            f" name per line in the order of its answers, or put {LABELS_FILE}"
            " beside it."
        )
    flag = flag or path
    try:
        with open(path, encoding="utf-8") as file:
            names = tuple(file.read().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{flag} cannot be read: {error}") from error
    if len(names) < 2 or not all(name.strip() for name in names):
        raise UserError(
            f"{flag} needs the names of at least two classes, one per line and"
            f" none empty. Received: {len(names)} lines"
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(
            f"{flag} gives several classes one name: each needs its own."
            f" Received: {twice}"
        )
    return names
