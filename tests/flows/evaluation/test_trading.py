"""Hit rates and long-short portfolios: against examples worked by hand."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.evaluation.panel import Panel, panel_of
from flows.evaluation.trading import hit_rate, long_short, portfolio_weights
from market.types import Float64Array
from tests.helpers.simulated_backtests import MODEL, simulated_backtest


def panel_with(expected: list[list[float]], actual: list[list[float]], steps: int = 1) -> Panel:
    """A panel whose windows, a row for each instant and a column for each symbol, have these returns."""
    instants, symbols = np.shape(expected)
    panel = panel_of(simulated_backtest(instants=instants, symbols=symbols, steps=steps, paths=3), MODEL)

    def filled(values: list[list[float]]) -> Float64Array:
        return np.repeat(np.array(values, dtype=np.float64).ravel()[:, None], steps, axis=1)

    scores = dataclasses.replace(panel.scores[MODEL], expected_move=filled(expected))
    return dataclasses.replace(panel, actual_move=filled(actual), scores={**panel.scores, MODEL: scores})


def costs_of(panel: Panel, *, bp: float) -> Float64Array:
    return np.full(len(panel.symbols), bp / 1e4)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=35))
def test_weights_are_long_the_highest_and_short_the_lowest(expected: list[float]) -> None:
    weights = portfolio_weights(np.array(expected))
    if len(set(expected)) == 1:
        assert not weights.any()
        return
    side = len(expected) // 10 if len(expected) >= 10 else len(expected) // 3
    assert weights.sum() == pytest.approx(0, abs=1e-12)
    assert np.abs(weights).sum() == pytest.approx(2)
    assert (weights > 0).sum() == (weights < 0).sum() == side
    highs, others = (
        [value for value, weight in zip(expected, weights, strict=True) if (weight > 0) == high]
        for high in (True, False)
    )
    assert min(highs) >= max(others)


def test_every_change_of_a_position_costs() -> None:
    # The first is held through both periods (no cost between), the third and the second are exchanged.
    panel = panel_with([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]], [[0.01, 0.0, -0.02], [0.03, -0.01, 0.0]])
    found = long_short(panel, 1, costs_of(panel, bp=10))
    # Bought and sold 2 at first, then 2 exchanged (1 closed, 1 opened), at the end 2 closed.
    assert found.turnover == pytest.approx((2 + 2 + 2) / 2)
    assert found.gross.value == pytest.approx((300 + 400) / 2)
    assert found.net.value == pytest.approx((300 - 20 + 400 - 40) / 2)
    assert found.portfolio == "tercile"
    nets = np.array([280.0, 360.0])
    assert found.t == pytest.approx(nets.mean() / (nets.std(ddof=1) / math.sqrt(2)))


def test_positions_that_end_before_the_next_forecast_are_closed_and_opened() -> None:
    panel = panel_with([[3.0, 2.0, 1.0]] * 3, [[0.0, 0.0, 0.0]] * 3, steps=2)
    costs = costs_of(panel, bp=1)
    held_throughout, closed_each_time = long_short(panel, 2, costs), long_short(panel, 1, costs)
    assert held_throughout.turnover == pytest.approx(4 / 3)
    assert closed_each_time.turnover == pytest.approx(4)


def test_positions_in_price_differences_have_equal_risks_and_cost_ticks() -> None:
    panel = panel_of(simulated_backtest(instants=2, symbols=3, steps=1, paths=3, differences=[2]), MODEL)
    expected = np.array([3.0, 2.0, 1.0, 3.0, 2.0, 1.0])[:, None]  # in volatilities
    moves = np.array([1.0, 0.0, -0.5, 2.0, 0.0, 0.0])[:, None]
    scale = np.array([100.0, 100.0, 4.0, 50.0, 100.0, 5.0])
    scores = dataclasses.replace(panel.scores[MODEL], expected_move=expected / scale[:, None])
    panel = dataclasses.replace(
        panel, scale=scale, actual_move=moves / scale[:, None], scores={MODEL: scores}
    )
    found = long_short(panel, 1, np.array([0.001, 0.001, 0.01]))
    assert found.gross.value == pytest.approx((1.5 + 2.0) / 2)
    # 100 of the first and 4 of the third are opened, then changed to 50 and 5, and closed.
    paid = (100 * 0.001 + 4 * 0.01) + (50 * 0.001 + 1 * 0.01 + 50 * 0.001 + 5 * 0.01)
    assert found.gross.value - found.net.value == pytest.approx(paid / 2)
    assert found.turnover == pytest.approx((2 + 50 / 50 + 1 / 5 + 2) / 2)


def test_a_symbol_whose_costs_are_unknown_is_not_traded() -> None:
    panel = panel_with([[4.0, 3.0, 2.0, 1.0]], [[0.5, 0.01, 0.0, -0.01]])
    found = long_short(panel, 1, np.array([np.nan, 0.0, 0.0, 0.0]))
    assert found.gross.value == pytest.approx(200)
    assert long_short(panel, 1, np.array([np.nan, np.nan, 0.0, 0.0])).portfolio.startswith("fewer than 3")


@pytest.mark.parametrize(("symbols", "portfolio"), [(9, "tercile"), (10, "decile")])
def test_deciles_need_ten_symbols(symbols: int, portfolio: str) -> None:
    values = [[float(number) for number in range(symbols)]] * 2
    panel = panel_with(values, values)
    assert long_short(panel, 1, costs_of(panel, bp=0)).portfolio == portfolio


def test_two_symbols_have_no_portfolio() -> None:
    panel = panel_with([[1.0, 2.0]], [[1.0, 2.0]])
    found = long_short(panel, 1, costs_of(panel, bp=5))
    assert found.portfolio == "fewer than 3 symbols at every instant"
    assert math.isnan(found.net.value)


def test_a_symbol_without_a_close_is_no_part_of_a_portfolio() -> None:
    panel = panel_with([[9.0, 3.0, 2.0, 1.0]], [[np.nan, 0.01, 0.0, -0.01]])
    found = long_short(panel, 1, costs_of(panel, bp=0))
    assert found.gross.value == pytest.approx(200)


def test_hit_rates_count_moves_to_the_side_of_the_median() -> None:
    panel = panel_of(simulated_backtest(instants=12, steps=1, paths=4, knowledge=1.0, width=0.0), MODEL)
    assert hit_rate(panel, 1).value == 1
    assert hit_rate(panel, 1).n == 60
    assert hit_rate(panel, 1, 2).n == 12
    guessing = panel_of(simulated_backtest(instants=40, steps=1, paths=3), MODEL)
    assert hit_rate(guessing, 1).low < 0.5 < hit_rate(guessing, 1).high
