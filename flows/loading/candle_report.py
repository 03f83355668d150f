"""Summarises a load of candles: a table with a row for each symbol, and the sentence of a failed state."""

from collections.abc import Collection, Sequence
from typing import Any

from flows.loading.candle_feed import CandleOutcome
from flows.loading.sources import Item


def with_absent(
    outcomes: Sequence[CandleOutcome], symbols: Collection[str] | None, items: Sequence[Item]
) -> list[CandleOutcome]:
    """Add a failure for each symbol that was requested by name and is in no file; returns them by symbol.

    Parameters
    ----------
    outcomes
        Of the items. An unchanged file that has no symbol of its own may have any of them.
    """
    present = {outcome.symbol for outcome in outcomes}
    unknown = any(item.name in present and item.symbol is None for item in items)
    absent = [] if unknown else sorted(set(symbols or ()) - present)
    missing = [CandleOutcome(symbol, error="the feed has no candles of it") for symbol in absent]
    return sorted([*outcomes, *missing], key=lambda outcome: outcome.symbol)


def candle_table(outcomes: Sequence[CandleOutcome]) -> list[dict[str, Any]]:
    """Return one row for each outcome, in the order given."""
    return [_table_row(outcome) for outcome in outcomes]


def _table_row(outcome: CandleOutcome) -> dict[str, Any]:
    if outcome.error is not None:
        return {"symbol": outcome.symbol, "result": f"FAILED: {outcome.error}"}
    if outcome.loaded is None:
        return {"symbol": outcome.symbol, "result": "unchanged"}
    return {
        "symbol": outcome.symbol,
        "result": "loaded",
        "last candle": outcome.last,
        "new": outcome.loaded.new,
        "changed": outcome.loaded.changed,
        "unchanged": outcome.loaded.unchanged,
        "notes": "; ".join(outcome.loaded.notes),
    }


def failure_message(outcomes: Sequence[CandleOutcome]) -> str | None:
    """Return the symbols that failed and why, each reason once; None where none did and there were any."""
    if not outcomes:
        return "nothing was loaded: no symbol was requested, or no file has candles"
    symbols: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            symbols.setdefault(outcome.error, []).append(outcome.symbol)
    if not symbols:
        return None
    failed = sum(len(names) for names in symbols.values())
    loaded = sum(outcome.loaded is not None for outcome in outcomes)
    unchanged = len(outcomes) - failed - loaded
    reasons = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in symbols.items())
    return (
        f"{failed} of {len(outcomes)} symbols failed, {loaded} loaded"
        f"{f', {unchanged} unchanged' if unchanged else ''}. {reasons}"
    )
