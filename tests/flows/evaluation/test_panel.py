"""Forecasts as arrays: each figure stands where its window and step are."""

import dataclasses
import random
from datetime import timedelta

import numpy as np
import pytest

from flows.backtest.baselines import BASELINES
from flows.backtest.scored import Scored, name_without_events
from flows.evaluation.panel import NO_RELEASE, Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, RELEASE_STEP, START, simulated_backtest


def small(instants: int = 6) -> list[Scored]:
    return simulated_backtest(instants=instants, symbols=2, steps=3, paths=5, without_events=True)


def test_figures_are_those_of_the_forecasts_in_any_order() -> None:
    scored = small()
    shuffled = scored.copy()
    random.Random(2).shuffle(shuffled)
    panel = panel_of(shuffled, MODEL)
    assert set(panel.scores) == {MODEL, name_without_events(MODEL), *BASELINES}
    assert panel.symbols == ["S00", "S01"]
    assert (len(panel.instants), panel.steps) == (6, 3)
    for each in scored:
        (row,) = np.flatnonzero(
            (panel.instant == (each.made_at - START) // timedelta(hours=3))
            & (panel.symbol == panel.symbols.index(each.symbol))
        )
        scores, unit = panel.scores[each.model], 1e4 / each.last_close
        np.testing.assert_allclose(scores.crps[row], each.scores.crps * unit)
        np.testing.assert_allclose(scores.pinball[row], each.scores.pinball * unit)
        np.testing.assert_allclose(scores.width[row], (each.quantiles[2] - each.quantiles[0]) * unit)
        np.testing.assert_allclose(scores.expected_move[row], each.quantiles[1] / each.last_close - 1)
        np.testing.assert_array_equal(scores.covered[row], each.scores.covered)
        np.testing.assert_array_equal(scores.pit_high[row], each.distribution.pit_high)
        np.testing.assert_allclose(panel.actual_move[row], each.scores.actual / each.last_close - 1)


def test_figures_with_price_differences_are_in_volatilities() -> None:
    scored = simulated_backtest(instants=3, symbols=2, steps=2, paths=4, differences=[1], shift=-5.0)
    panel = panel_of(scored, MODEL)
    assert panel.unit == "volatility"
    assert panel.differences == {"S00": False, "S01": True}
    for each in scored:
        row = 2 * ((each.made_at - START) // timedelta(hours=2)) + (each.symbol == "S01")
        divisor = 1.0 if each.symbol == "S01" else each.last_close
        moves = (each.scores.actual - each.last_close) / divisor
        np.testing.assert_allclose(panel.actual_move[row], moves)
        np.testing.assert_allclose(panel.scale[row], 1 / each.volatility)
        scores = panel.scores[each.model]
        np.testing.assert_allclose(scores.expected_move[row], (each.quantiles[1] - each.last_close) / divisor)
        np.testing.assert_allclose(scores.crps[row], each.scores.crps / divisor / each.volatility)
        np.testing.assert_allclose(scores.width[row], np.ptp(each.quantiles, 0) / divisor / each.volatility)


def test_releases_stand_on_their_candles() -> None:
    panel = panel_of(small(), MODEL)
    expected = np.zeros((12, 3), dtype=bool)
    expected[panel.instant % 5 == 0, RELEASE_STEP] = True
    np.testing.assert_array_equal(panel.releases["nfp"], expected)
    np.testing.assert_array_equal(panel.releases[NO_RELEASE], ~expected)
    np.testing.assert_array_equal(panel.event_day, ~panel.quiet_day)


def test_a_forecast_that_a_model_did_not_make_is_unknown() -> None:
    scored = small()
    first = next(each for each in scored if each.model == name_without_events(MODEL))
    panel = panel_of([each for each in scored if each is not first], MODEL)
    assert panel.without_events is not None
    assert np.isnan(panel.without_events.width[0]).all()
    assert np.isfinite(panel.without_events.width[1:]).all()


def test_sums_by_instant_are_those_of_a_loop(right_panel: Panel) -> None:
    values = np.random.default_rng(1).normal(size=(len(right_panel.instant), 2))
    expected = [
        values[right_panel.instant == number].sum(axis=0) for number in range(len(right_panel.instants))
    ]
    np.testing.assert_allclose(right_panel.by_instant(values), expected)


@pytest.mark.parametrize(("hours", "spanned"), [(0, 1), (2, 2), (9, 4)])
def test_instants_within_a_horizon(hours: int, spanned: int) -> None:
    """Instants are 3 hours apart, and horizons 3 hours and some more."""
    later = np.timedelta64(hours, "h")
    scored = [dataclasses.replace(each, timestamps=each.timestamps + later) for each in small(instants=30)]
    assert panel_of(scored, MODEL).instants_per_horizon == spanned
