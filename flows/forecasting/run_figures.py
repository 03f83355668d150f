"""Counts the outcomes of a run of predict-batch, for its record in the database."""

from collections.abc import Sequence

from flows.forecasting.run_summary import SymbolOutcome
from flows.runtime.run_records import RunFigures


def run_figures(outcomes: Sequence[SymbolOutcome]) -> RunFigures:
    """Return how many symbols were stored, unchanged, skipped, stale and failed, and which succeeded."""
    rows = [outcome for outcome in outcomes if outcome.row is not None]
    unchanged = sum(outcome.unchanged for outcome in rows)
    return RunFigures(
        {
            "stored": len(rows) - unchanged,
            "unchanged": unchanged,
            "skipped": sum(outcome.skipped is not None for outcome in outcomes),
            "stale": sum(outcome.stale is not None for outcome in outcomes),
            "failed": sum(outcome.error is not None for outcome in outcomes),
        },
        without_events=sum(outcome.without_events is not None for outcome in rows),
        succeeded={outcome.symbol: outcome.without_events is None for outcome in rows},
    )
