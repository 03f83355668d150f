"""What events change: nothing without a release, and at a release what the simulated market does."""

import pytest

from flows.evaluation.estimates import BlockBootstrap
from flows.evaluation.event_effects import event_effects
from flows.evaluation.panel import Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, simulated_backtest


def test_events_that_widen_rightly_gain_at_releases(right_panel: Panel) -> None:
    found = {each.group: each for each in event_effects(right_panel, BlockBootstrap(120, 5, 1))}
    assert set(found) == {"all", "release", "nfp", "no release", "event day", "quiet day"}
    assert found["nfp"].crps_ratio.n == 24 * 5
    assert found["nfp"].crps_ratio.high < 1
    assert found["nfp"].log_score_gain.low > 0
    assert found["nfp"].width_ratio.value > 2
    assert found["nfp"].coverage_with.value > found["nfp"].coverage_without.value
    assert found["nfp"].width_with.value == pytest.approx(
        found["nfp"].width_without.value * found["nfp"].width_ratio.value
    )
    quiet = found["quiet day"]
    assert quiet.crps_ratio.value == quiet.width_ratio.value == 1
    assert quiet.log_score_gain.value == 0


def test_nothing_is_compared_where_no_forecast_was_made_twice() -> None:
    panel = panel_of(simulated_backtest(instants=3, paths=3), MODEL)
    assert event_effects(panel, BlockBootstrap(3, 1, 0)) == []
