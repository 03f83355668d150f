"""Information coefficients: against known values, perfect foresight and noise."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.evaluation.correlations import (
    FEWEST_SYMBOLS,
    across_symbols,
    over_time,
    pearson,
    ranks,
    spearman,
)
from flows.evaluation.panel import Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, simulated_backtest


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_equal_values_share_the_mean_of_their_ranks(values: list[int]) -> None:
    expected = [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]
    assert ranks(np.array(values, dtype=np.float64)).tolist() == expected


def test_correlations_of_known_samples() -> None:
    # Anscombe's first quartet, "Graphs in statistical analysis" (1973): 0.816; and ranks with a tie.
    x = np.array([10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5], dtype=np.float64)
    y = np.array([8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68])
    assert pearson(x, y) == pytest.approx(0.81642, abs=1e-5)
    assert spearman(x, y) == pytest.approx(0.81818, abs=1e-5)
    assert spearman(np.array([1.0, 2, 2, 3]), np.array([1.0, 3, 2, 4])) == pytest.approx(0.94868, abs=1e-5)


@pytest.mark.parametrize("constant", [0, 1])
def test_what_does_not_vary_has_no_correlation(constant: int) -> None:
    pair = [np.arange(5.0), np.arange(5.0)]
    pair[constant] = np.full(5, 0.1)
    assert math.isnan(pearson(*pair))
    assert math.isnan(spearman(*pair))


def test_perfect_foresight_has_a_coefficient_of_one() -> None:
    panel = panel_of(simulated_backtest(instants=20, steps=2, paths=4, knowledge=1.0, width=0.0), MODEL)
    for step in (1, 2):
        for each in (
            across_symbols(panel, step),
            over_time(panel, step, range(5)),
            over_time(panel, step, [0]),
        ):
            assert each.ic.estimate.value == pytest.approx(1)
            assert each.rank_ic.estimate.value == pytest.approx(1)


def test_half_of_what_moves_prices_is_seen_and_significant() -> None:
    panel = panel_of(simulated_backtest(instants=40, steps=1, paths=20, knowledge=0.5), MODEL)
    for each in (across_symbols(panel, 1), over_time(panel, 1, range(5))):
        assert each.ic.estimate.low > 0.3
        assert each.ic.t > 4


def test_the_interval_of_noise_holds_zero_about_as_often_as_it_claims() -> None:
    """Of noise whose size, of the expected and of the actual return, is fourfold in some windows."""
    panel = panel_of(simulated_backtest(instants=30, steps=1, paths=3), MODEL)
    rng = np.random.default_rng(5)
    held, count = np.zeros(3), 100
    for _ in range(count):
        size = rng.choice([0.5, 2.0], (30, 1)).repeat(5, axis=0)
        expected, actual = size * rng.normal(size=(2, 150, 1))
        scores = dataclasses.replace(panel.scores[MODEL], expected_move=expected)
        noise = dataclasses.replace(panel, scores={MODEL: scores}, actual_move=actual)
        found = (across_symbols(noise, 1), over_time(noise, 1, range(5)), over_time(noise, 1, [2]))
        held += [each.ic.estimate.low <= 0 <= each.ic.estimate.high for each in found]
    assert (held >= 85).all()


def test_the_mean_over_symbols_and_its_clustered_error_are_those_of_a_loop(right_panel: Panel) -> None:
    products: list[tuple[int, float]] = []
    for symbol in range(len(right_panel.symbols)):
        rows = np.flatnonzero(right_panel.symbol == symbol)
        x = right_panel.scores[MODEL].expected_move[rows, 0]
        y = right_panel.actual_move[rows, 0]
        z = (x - x.mean()) / x.std() * (y - y.mean()) / y.std()
        products += zip(right_panel.instant[rows].tolist(), z.tolist(), strict=True)
    value = sum(z for _, z in products) / len(products)
    square = 0.0
    for instant in range(len(right_panel.instants)):
        square += sum(z - value for number, z in products if number == instant) ** 2
    coefficient = over_time(right_panel, 1, range(5)).ic
    assert coefficient.estimate.value == pytest.approx(value)
    assert coefficient.t == pytest.approx(value / (math.sqrt(square) / len(products)))


def test_a_correlation_across_symbols_is_of_moves_in_volatilities() -> None:
    panel = panel_of(simulated_backtest(instants=1, symbols=5, steps=1, paths=3, differences=[0]), MODEL)
    expected, actual = panel.scores[MODEL].expected_move[:, 0], panel.actual_move[:, 0]
    found = across_symbols(panel, 1)
    assert found.ic.estimate.value == pytest.approx(pearson(expected * panel.scale, actual * panel.scale))
    assert found.ic.estimate.value != pytest.approx(pearson(expected, actual), abs=1e-3)


def test_coefficients_use_windows_that_do_not_overlap() -> None:
    overlapping = panel_of(simulated_backtest(instants=40, steps=4, paths=3), MODEL)
    hours = np.timedelta64(1, "h")
    closer = dataclasses.replace(  # instants an hour apart instead of four
        overlapping,
        start=overlapping.start - 3 * hours * overlapping.instant,
        ends=overlapping.ends - 3 * hours * overlapping.instant[:, None],
    )
    for step, instants in ((1, 40), (2, 20), (4, 10)):
        assert across_symbols(closer, step).ic.estimate.n == instants
        assert over_time(closer, step, range(5)).rank_ic.estimate.n == 5 * instants
        assert across_symbols(overlapping, step).ic.estimate.n == 40


def test_too_few_symbols_or_windows_give_no_coefficient() -> None:
    scored = simulated_backtest(instants=9, symbols=FEWEST_SYMBOLS - 1, steps=1, paths=3)
    panel = panel_of(scored, MODEL)
    for each in (across_symbols(panel, 1), over_time(panel, 1, range(4)), over_time(panel, 1, [0])):
        assert math.isnan(each.ic.estimate.value)
        assert math.isnan(each.ic.t)
        assert each.ic.estimate.n == 0
