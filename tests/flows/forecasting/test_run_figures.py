"""Tests the counts of a run of predict-batch."""

from dataclasses import replace

import pytest

from flows.forecasting.run_figures import run_figures
from flows.forecasting.run_summary import SymbolOutcome
from flows.runtime.run_records import RunFigures
from tests.helpers.outcomes import FAILED, SKIPPED, STALE, STORED, UNCHANGED

WITHOUT_EVENTS = replace(STORED, symbol="SPY", without_events="no calendar rows")
NOTHING = {"stored": 0, "unchanged": 0, "skipped": 0, "stale": 0, "failed": 0}


@pytest.mark.parametrize(
    ("outcomes", "figures"),
    [
        ([], RunFigures(NOTHING, without_events=0)),
        (
            [STORED, UNCHANGED, WITHOUT_EVENTS, FAILED, SKIPPED, STALE],
            RunFigures(
                {"stored": 2, "unchanged": 1, "skipped": 1, "stale": 1, "failed": 1},
                without_events=1,
                succeeded={"EURUSD": True, "GBPUSD": True, "SPY": False},
            ),
        ),
        ([FAILED, FAILED], RunFigures(NOTHING | {"failed": 2}, without_events=0)),
    ],
)
def test_every_outcome_is_counted_once(outcomes: list[SymbolOutcome], figures: RunFigures) -> None:
    assert run_figures(outcomes) == figures
    assert sum(figures.counts.values()) == len(outcomes)
