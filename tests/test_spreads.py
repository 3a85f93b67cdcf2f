"""Several measurements as a cell of a table."""

from benchmarks.lib.spreads import mean_and_deviation, median_and_range


def test_mean_and_deviation():
    assert mean_and_deviation([]) == "-"
    assert mean_and_deviation([0.5]) == "0.500"
    assert mean_and_deviation([-0.0001]) == "0.000"
    # Of a sample: n - 1.
    assert mean_and_deviation([1.0, 3.0], 2) == "2.00 ± 1.41"


def test_median_and_range():
    assert median_and_range([]) == "-"
    assert median_and_range([3000.0, 1.0, 2.0], 0) == "2 (1-3,000)"
    assert median_and_range([1.25]) == "1.2 (1.2-1.2)"
