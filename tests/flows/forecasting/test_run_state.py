"""The state of a run: its type, its name and its message, by what became of the symbols."""

import pytest

from flows.forecasting.run_state import final_state
from flows.forecasting.run_summary import SymbolOutcome
from tests.helpers.outcomes import FAILED, SKIPPED, STALE, STORED, UNCHANGED, WITHOUT

REASON = "WITHOUT EVENTS: GLD: the calendar is empty"
FAILURE = "SPY: PredictionRefused: Bad Request (400): no"


@pytest.mark.parametrize(
    ("outcomes", "name", "message"),
    [
        ([STORED, UNCHANGED], "Completed", "2 symbols: 1 stored, 1 unchanged"),
        (
            [STORED, STALE, SKIPPED],
            "Completed",
            "3 symbols: 1 stored, stale SQ, skipped SPX",
        ),
        ([STORED, WITHOUT], "CompletedWithoutEvents", f"2 symbols: 2 stored. {REASON}"),
        (
            [STORED, FAILED, WITHOUT],
            "PartiallyFailed",
            f"1 of 3 symbols failed, 2 stored. {FAILURE}. {REASON}",
        ),
        ([UNCHANGED, FAILED], "PartiallyFailed", f"1 of 2 symbols failed, 0 stored, 1 unchanged. {FAILURE}"),
        ([FAILED], "Failed", f"1 of 1 symbols failed, 0 stored. {FAILURE}"),
        ([STALE], "Failed", f"nothing was forecast. SQ: {STALE.stale}"),
        ([], "Failed", "nothing was forecast. "),
    ],
)
def test_the_name_says_what_is_wrong(outcomes: list[SymbolOutcome], name: str, message: str) -> None:
    state = final_state(outcomes, with_events=True)
    assert (state.name, state.message) == (name, message)
    assert state.is_failed() == name.endswith("Failed")
    assert state.is_completed() == name.startswith("Completed")
    if state.is_completed():
        assert state.data == outcomes


def test_a_run_that_should_have_no_events_lacks_none() -> None:
    state = final_state([WITHOUT], with_events=False)
    assert (state.name, state.message) == ("Completed", "1 symbols: 1 stored")
