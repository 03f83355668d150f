"""Scores beside the baselines: against plain loops over the forecasts."""

import numpy as np
import pytest

from flows.backtest.baselines import BASELINES, PERSISTENCE, RANDOM_WALK
from flows.evaluation.accuracy import comparison, model_figures, ratio
from flows.evaluation.estimates import BlockBootstrap
from flows.evaluation.panel import Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, simulated_backtest

SCORED = simulated_backtest(instants=40, symbols=3, steps=3, paths=10)
PANEL = panel_of(SCORED, MODEL)
BOOTSTRAP = BlockBootstrap(40, 3, 0)


def mean(model: str, *, step: int | None = None, symbol: str | None = None) -> float:
    """The mean CRPS in basis points, by a loop over forecasts."""
    scores = []
    for each in SCORED:
        if each.model == model and symbol in (None, each.symbol):
            steps = range(3) if step is None else (step - 1,)
            scores += [each.scores.crps[number] / each.last_close * 1e4 for number in steps]
    return float(np.mean(scores))


@pytest.mark.parametrize("baseline", BASELINES)
def test_ratios_are_those_of_loops(baseline: str) -> None:
    found = comparison(PANEL, BOOTSTRAP, baseline, 0)
    assert found.overall_crps.value == pytest.approx(mean(MODEL) / mean(baseline))
    assert found.overall_crps.n == 40 * 3 * 3
    for step in (1, 2, 3):
        assert found.crps[step - 1].value == pytest.approx(mean(MODEL, step=step) / mean(baseline, step=step))
        assert found.crps[step - 1].n == 40 * 3
    for symbol, estimate in found.crps_by_symbol.items():
        assert estimate.value == pytest.approx(mean(MODEL, symbol=symbol) / mean(baseline, symbol=symbol))
    assert list(found.crps_by_symbol) == ["S00", "S01", "S02"]
    assert {month: each.n for month, each in found.crps_by_month.items()} == {"2024-01": 40 * 3 * 3}
    assert found.crps_by_month["2024-01"].value == pytest.approx(found.overall_crps.value)


def test_means_are_those_of_loops() -> None:
    found = model_figures(PANEL, BOOTSTRAP, MODEL)
    assert found.overall_crps.value == pytest.approx(mean(MODEL))
    coverage = [each.scores.covered[1] for each in SCORED if each.model == MODEL]
    assert found.coverage[1].value == pytest.approx(np.mean(coverage))
    widths = [np.ptp(each.quantiles[:, 2]) / each.last_close * 1e4 for each in SCORED if each.model == MODEL]
    assert found.width[2].value == pytest.approx(np.mean(widths))


def test_persistence_has_no_width_to_compare_with() -> None:
    found = comparison(PANEL, BOOTSTRAP, PERSISTENCE, 0)
    assert all(np.isnan(each.value) for each in found.width)
    assert found.coverage_difference[0].value == pytest.approx(
        model_figures(PANEL, BOOTSTRAP, MODEL).coverage[0].value
    )


def test_a_right_model_covers_80_percent_and_beats_what_is_less_informed(right_panel: Panel) -> None:
    bootstrap = BlockBootstrap(len(right_panel.instants), 5, 1)
    coverage = model_figures(right_panel, bootstrap, MODEL).overall_coverage
    assert coverage.low <= 0.8 <= coverage.high
    for name in BASELINES:
        assert comparison(right_panel, bootstrap, name, 0).overall_crps.high < 1


def test_a_close_that_one_model_has_no_score_of_counts_for_neither() -> None:
    above, below = np.ones((2, len(PANEL.instant), 3))
    above[5, 1] = below[7, 2] = np.nan
    below[5, 1] = above[7, 2] = 99.0
    estimate = ratio(PANEL, BOOTSTRAP, above, below)
    assert (estimate.value, estimate.n) == (1.0, 40 * 3 * 3 - 2)


def test_forecasts_of_two_months_have_a_ratio_each() -> None:
    scored = simulated_backtest(instants=40, symbols=1, steps=24, paths=3)
    months = comparison(panel_of(scored, MODEL), BOOTSTRAP, RANDOM_WALK, 0).crps_by_month
    assert {name: each.n for name, each in months.items()} == {"2024-01": 31 * 24, "2024-02": 9 * 24}
