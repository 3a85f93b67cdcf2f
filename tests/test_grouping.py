"""The rule of `--group_by`, as it is written."""

import pytest

from tf_simclr.config import DataConfig
from tf_simclr.config.grouping import read_group_by
from tf_simclr.errors import UserError


def test_every_form_is_read():
    assert read_group_by("none") is None
    assert read_group_by("folder").kind == "folder"
    assert read_group_by("column: Patient No ").column == "Patient No"
    rule = read_group_by(r"regex:(\w+):\d")
    assert (rule.kind, rule.pattern.pattern) == ("regex", r"(\w+):\d")


@pytest.mark.parametrize(
    "text, message",
    [
        ("Folder", "column:NAME .* or regex:PATTERN .*Received: Folder"),
        ("folder:x", "Received: folder:x"),
        ("column", "Received: column"),
        ("column: ", "Received: column: "),
        ("regex:", "Received: regex:"),
        ("regex:(a", r"regular expression of Python: .*Received: \(a"),
    ],
)
def test_others_are_refused(text, message):
    with pytest.raises(UserError, match=message):
        DataConfig(group_by=text)
