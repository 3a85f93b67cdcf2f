"""The tables of docs/scaling.md are what the simulator prints."""

import pytest
import tiny

from benchmarks.lib.machines import TPU_V3
from benchmarks.lib.step_costs import (
    CHECKED_CORES,
    CHECKED_HOURS,
    fitted_efficiency,
    hours,
)
from benchmarks.lib.step_costs import step as estimate
from benchmarks.speed import scaling


@pytest.fixture(scope="module")
def efficiency() -> float:
    return fitted_efficiency(scaling.costs_of("R50 1x"))


def test_the_second_published_time_is_predicted(efficiency):
    costs = scaling.costs_of("R50 1x")
    # 4.1 billion products of the encoder (arXiv 1512.03385), with the head.
    assert 8.1e9 < costs.flops < 8.3e9
    one = estimate(costs, TPU_V3, CHECKED_CORES, efficiency=efficiency)
    assert abs(hours(one) / CHECKED_HOURS - 1) < 0.05


@pytest.mark.slow
def test_the_tables_of_the_page_are_those_of_the_script():
    page = (tiny.ROOT / "docs" / "scaling.md").read_text()
    for name, text in scaling.markdown().items():
        assert text in page, name
