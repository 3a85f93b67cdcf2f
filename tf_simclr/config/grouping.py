"""Groups as `--group_by` says them: images that belong together."""

import dataclasses
import re

from tf_simclr.errors import UserError

NO_GROUPS = "none"
_FORMS = (
    "--group_by is none, folder, column:NAME (a column of the table of images)"
    " or regex:PATTERN (whose first part in parentheses names the group)"
)


@dataclasses.dataclass(frozen=True)
class GroupBy:
    """A rule that names the group of an image.

    Attributes:
      kind: folder, column or regex.
      column: the title of a column; '' for other kinds.
      pattern: what is searched in ids; None for other kinds.
    """

    kind: str
    column: str = ""
    pattern: re.Pattern[str] | None = None


def read_group_by(text: str) -> GroupBy | None:
    """Reads `folder`, `column:NAME`, `regex:PATTERN`; None for `none`.

    Raises:
      UserError: it is written otherwise, or the pattern is no regular
        expression.
    """
    if text == NO_GROUPS:
        return None
    kind, _, argument = text.partition(":")
    if text == "folder":
        return GroupBy("folder")
    if kind == "column" and argument.strip():
        return GroupBy("column", column=argument.strip())
    if kind != "regex" or not argument:
        raise UserError(f"{_FORMS}. Received: {text}")
    try:
        return GroupBy("regex", pattern=re.compile(argument))
    except re.error as error:
        raise UserError(
            f"--group_by=regex:PATTERN needs a regular expression of Python:"
            f" {error}. Received: {argument}"
        ) from error
