"""What a run did for each symbol, as the table and the sentences that a person reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.store import PredictionRow


@dataclass(frozen=True)
class Outcome:
    """One symbol's part of a run: a stored row, or the reason why there is none.

    Attributes
    ----------
    error
        Why the symbol failed.
    skipped
        Why the symbol was left out, which is no failure.
    stale
        Why its newest candle is too old to forecast from; left out likewise, and named in the notices.
    last_close
        Close of the last candle used, where there was one.
    late
        Newer candles had closed, but are not in the database.
    without_events
        Why this symbol's forecast was made without events; None where it had them.
    clipped
        The model could not see the last close, so that the forecast starts away from it.
    shorter_lookback
        How many candles were used, where fewer than asked for were, so that it could.
    """

    symbol: str
    row: PredictionRow | None = None
    error: str | None = None
    skipped: str | None = None
    stale: str | None = None
    last_close: float | None = None
    late: bool = False
    without_events: str | None = None
    clipped: bool = False
    shorter_lookback: int | None = None


def summary_table(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row per symbol, in the order given: what was forecast for the last step, or what failed."""
    return [_table_row(outcome) for outcome in outcomes]


def _table_row(outcome: Outcome) -> dict[str, Any]:
    row = outcome.row
    if row is None:
        left_out = f"skipped: {outcome.skipped}" if outcome.stale is None else f"STALE: {outcome.stale}"
        result = left_out if outcome.error is None else f"FAILED: {outcome.error}"
        return {"symbol": outcome.symbol, "result": result}
    return {
        "symbol": outcome.symbol,
        "result": "stored",
        "last candle": f"{row.as_of:%Y-%m-%d %H:%M}{' (late)' if outcome.late else ''}",
        "last close": None if outcome.last_close is None else _last_close(outcome, outcome.last_close),
        "horizon": f"{row.timestamps[-1]:%Y-%m-%d %H:%M}",
        "p10": price(row.p10[-1]),
        "p50": price(row.p50[-1]),
        "p90": price(row.p90[-1]),
        "events": event_words(row.event_context, outcome.without_events),
    }


def _last_close(outcome: Outcome, value: float) -> str:
    marks = [
        *(["clipped"] if outcome.clipped else []),
        *([] if outcome.shorter_lookback is None else [f"lookback {outcome.shorter_lookback}"]),
    ]
    return f"{price(value)} ({', '.join(marks)})" if marks else price(value)


def price(value: float) -> str:
    """Return a price with five digits, or all of those before the point: 2.4013e-05 for a small coin."""
    if 0 < abs(value) < 0.01:
        return f"{value:.5g}"
    before_the_point = len(f"{abs(value):.0f}")
    return f"{value:,.{max(0, 5 - before_the_point)}f}"


def event_words(context: dict[str, Any] | None, without_events: str | None = None) -> str:
    """Return the active events of a forecast in a few words, such as ``fomc (hawkish)``."""
    if without_events is not None:
        return f"not used: {without_events}"
    if context is None:
        return "none active"
    directions = context.get("surprise_directions", {})
    names = context.get("events_active", [])
    return ", ".join(f"{name} ({directions[name]})" if name in directions else name for name in names)


def outcome_line(outcome: Outcome) -> str:
    """Return one symbol's part of the run as a line of the log."""
    row = _table_row(outcome)
    if outcome.row is None:
        return f"{outcome.symbol}: {row['result']}"
    return (
        f"{outcome.symbol}: from {row['last close']} at {row['last candle']} to {row['p50']} "
        f"({row['p10']} … {row['p90']}) at {row['horizon']} UTC; events: {row['events']}"
    )


def notices(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what a person should know of a run: stale and late candles, and why some have no events."""
    stored = [outcome for outcome in outcomes if outcome.row is not None]
    lines = [
        f"STALE: {outcome.symbol}: not forecast: {outcome.stale}"
        for outcome in outcomes
        if outcome.stale is not None
    ]
    late = [outcome.symbol for outcome in stored if outcome.late]
    if late:
        lines.append(f"LATE CANDLES: {', '.join(late)}: newer ones have closed and are not in the database")
    clipped = [outcome.symbol for outcome in stored if outcome.clipped]
    if clipped:
        lines.append(
            f"CLIPPED: {', '.join(clipped)}: the last close lies beyond what the model can see, so that the "
            "forecast starts away from it"
        )
    shorter = [f"{each.symbol} ({each.shorter_lookback})" for each in stored if each.shorter_lookback]
    if shorter:
        names = ", ".join(shorter)
        lines.append(f"SHORTER LOOKBACK: {names}: with more candles the last close would be clipped")
    by_reason: dict[str, list[str]] = {}
    for outcome in stored:
        if outcome.without_events is not None:
            by_reason.setdefault(outcome.without_events, []).append(outcome.symbol)
    return lines + [f"WITHOUT EVENTS: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def failure_message(outcomes: Sequence[Outcome]) -> str | None:
    """Return the symbols that failed and why, or None where none did and at least one was stored."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    stored = sum(outcome.row is not None for outcome in outcomes)
    if failed:
        reasons = "; ".join(f"{outcome.symbol}: {outcome.error}" for outcome in failed)
        return f"{len(failed)} of {len(outcomes)} symbols failed, {stored} stored. {reasons}"
    if stored == 0:
        reasons = "; ".join(f"{outcome.symbol}: {outcome.skipped or outcome.stale}" for outcome in outcomes)
        return f"nothing was forecast. {reasons}"
    return None
