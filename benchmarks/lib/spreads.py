"""Several measurements of one thing as a cell of a table."""

import statistics
from collections.abc import Sequence


def mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation of the sample; one value as it is."""
    if not values:
        return "-"
    # What rounds to zero has no sign.
    mean = f"{round(statistics.mean(values), digits) + 0.0:.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def median_and_range(values: Sequence[float], digits: int = 1) -> str:
    """Median, with the lowest and highest in brackets."""
    if not values:
        return "-"
    low, middle, high = (
        f"{value:,.{digits}f}"
        for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} ({low}-{high})"
