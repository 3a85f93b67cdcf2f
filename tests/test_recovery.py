"""Batches that are used when some are left out."""

import pytest

from tf_simclr.training.recovery import batch_number, batch_ranges


def numbers(ranges):
    return [number for start, stop in ranges for number in range(start, stop)]


@pytest.mark.parametrize(
    "left_out", [(), (0,), (3,), (0, 1), (2, 3, 7), (5, 9), (0, 4, 12)]
)
def test_steps_use_all_other_batches_in_order(left_out):
    expected = [n for n in range(30) if n not in left_out][:10]
    assert [batch_number(step, left_out) for step in range(10)] == expected
    for first in range(10):
        assert numbers(batch_ranges(first, 10, left_out)) == expected[first:]


def test_without_any_left_out_it_is_one_range():
    assert batch_ranges(3, 10, ()) == [(3, 10)]
