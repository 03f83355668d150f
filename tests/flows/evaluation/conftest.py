"""A simulated market that is evaluated once."""

import pytest

from flows.backtest.scored import Scored
from flows.evaluation.evaluation import Evaluation, LeftOut, evaluation_of
from flows.evaluation.panel import Panel, panel_of
from tests.helpers.simulated_backtests import MODEL, SETTINGS, simulated_backtest


@pytest.fixture(scope="package")
def right_forecasts() -> list[Scored]:
    """Those of a model that is exactly right and knows nothing of directions; with events and without."""
    return simulated_backtest(without_events=True)


@pytest.fixture(scope="package")
def right_panel(right_forecasts: list[Scored]) -> Panel:
    """The forecasts of the exactly right model as arrays."""
    return panel_of(right_forecasts, MODEL)


@pytest.fixture(scope="package")
def evaluation(right_forecasts: list[Scored]) -> Evaluation:
    """The evaluation of the exactly right model."""
    return evaluation_of(right_forecasts, SETTINGS, LeftOut({"the feed had stopped": 3}, {}, {}))
