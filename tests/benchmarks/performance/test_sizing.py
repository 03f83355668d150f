"""Cores follow from the measured cost of a symbol and from the time that a run has."""

import pytest

from benchmarks.performance import sizing

BATCH = sizing.cost("base", "fp32", seconds=180.0, cores=2, symbols=25)


def test_a_symbol_costs_the_time_of_all_cores() -> None:
    assert BATCH.core_s == pytest.approx(14.4)


@pytest.mark.parametrize(
    ("symbols", "hourly", "soon"), [(25, "1", "2"), (1_000, "5", "48"), (10_000, "49", "480")]
)
def test_cores_are_whole_and_at_least_one(symbols: int, hourly: str, soon: str) -> None:
    assert sizing.WINDOW_S == 49 * 60
    assert sizing.in_words(BATCH, symbols) == f"{hourly} ({soon})"


def test_the_cheapest_precision_of_a_size_is_chosen() -> None:
    costs = [BATCH, sizing.Cost("base", "int8", 6.0), sizing.Cost("mini", "fp32", 2.0)]
    assert sizing.cheapest(costs, "base").precision == "int8"
    assert sizing.cheapest(costs, "mini").precision == "fp32"
