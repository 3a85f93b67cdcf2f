"""Output of a process while it works."""

import pytest

from tf_simclr.progress import Counter


@pytest.mark.parametrize(
    "interval, shown",
    [(0.0, ["2 of 1,234 images", "5 of 1,234 images"]), (10.0, [])],
)
def test_long_work_is_counted(capsys, interval, shown):
    counter = Counter(1234, interval=interval)
    counter.add(2)
    counter.add(3)
    assert capsys.readouterr().out.splitlines() == shown
