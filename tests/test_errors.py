"""Lists in messages are short, and say how much is left out."""

import pytest

from tf_simclr.errors import at_most


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, "a, b, c"), (2, "a, b and 1 more"), (1, "a and 2 more")],
)
def test_what_is_not_named_is_counted(count, expected):
    assert at_most(count, ["a", "b", "c"]) == expected


def test_words_between_can_be_chosen():
    problems = ["a.png is empty", "b.png is no image", "c.png is empty"]
    text = at_most(2, problems, separator="; ", before_rest="; and ")
    assert text == "a.png is empty; b.png is no image; and 1 more"
    assert at_most(2, [7, 8, 9], before_rest=", and ") == "7, 8, and 1 more"
    assert at_most(2, []) == ""
