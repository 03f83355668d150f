"""Gives a run the state that it ends in, whose name says what is wrong."""

from collections.abc import Sequence
from typing import Any

from prefect import State
from prefect.states import Completed, Failed

from flows.forecasting.run_summary import SymbolOutcome, failure_message, without_events
from flows.runtime.sentences import listed
from flows.runtime.state_names import COMPLETED_WITHOUT_EVENTS, PARTIALLY_FAILED


def final_state(outcomes: Sequence[SymbolOutcome], *, with_events: bool) -> State[Any]:
    """Return the state of a run and, where it completed, the outcomes as its result.

    Parameters
    ----------
    with_events
        Whether the forecasts should use event arrays.
    """
    remarks = without_events(outcomes) if with_events else []
    failure = failure_message(outcomes)
    if failure is not None:
        some_stored = any(outcome.row is not None for outcome in outcomes)
        name = PARTIALLY_FAILED if some_stored else "Failed"
        return Failed(name=name, message=". ".join([failure, *remarks]))
    return Completed(
        name=COMPLETED_WITHOUT_EVENTS if remarks else "Completed",
        message=". ".join([_counts(outcomes), *remarks]),
        data=list(outcomes),
    )


def _counts(outcomes: Sequence[SymbolOutcome]) -> str:
    """Return the numbers of symbols by outcome, with the names of those that were left out."""
    rows = [outcome for outcome in outcomes if outcome.row is not None]
    unchanged = sum(outcome.unchanged for outcome in rows)
    parts = [f"{len(outcomes):,} symbols: {len(rows) - unchanged:,} stored"]
    if unchanged:
        parts.append(f"{unchanged:,} unchanged")
    stale = [outcome.symbol for outcome in outcomes if outcome.stale is not None]
    skipped = [outcome.symbol for outcome in outcomes if outcome.skipped is not None]
    parts += [f"{word} {listed(names)}" for word, names in (("stale", stale), ("skipped", skipped)) if names]
    return ", ".join(parts)
