"""Shows a run as a table with a row for each symbol, what needs attention first, and as lines of the log."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from flows.forecasting.run_summary import SymbolOutcome
from market.warning_codes import code_of

MOST_ROWS: Final = 500
"""Rows of a table; the Prefect UI loads all of them at once, and a row takes about 400 bytes."""

_LEFT_OUT: Final = dict.fromkeys(
    ("events", "last candle", "last close", "horizon", "p10", "p50", "p90", "warnings"), ""
)


def summary_table(
    outcomes: Sequence[SymbolOutcome], timeframe: str, page_url: str
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a row for each symbol: failures first, then stale and skipped ones, then those without events.

    All rows have the same columns, since the Prefect UI takes the columns of the first; long texts stand in
    the last, since it does not wrap them.

    Parameters
    ----------
    page_url
        Address of the page that shows forecasts, for the links.

    Returns
    -------
    rows, remark
        At most `MOST_ROWS` rows, and a sentence about those left out, or None.
    """
    shown = sorted(outcomes, key=_attention)[:MOST_ROWS]
    remark = None
    if len(shown) < len(outcomes):
        remark = (
            f"The table shows {len(shown):,} of {len(outcomes):,} symbols, those that need attention first; "
            "the log names all that failed or were left out, ml_predictions has all rows."
        )
    return [_table_row(outcome, timeframe, page_url) for outcome in shown], remark


def _attention(outcome: SymbolOutcome) -> tuple[int, str]:
    """Return how early a symbol stands in the table."""
    order = (outcome.error, outcome.stale, outcome.skipped, outcome.without_events)
    rank = next((place for place, reason in enumerate(order) if reason is not None), len(order))
    return rank, outcome.symbol


def _table_row(outcome: SymbolOutcome, timeframe: str, page_url: str) -> dict[str, Any]:
    took = outcome.took
    result, reason = _result(outcome)
    return {
        "symbol": outcome.symbol,
        "result": result,
        "page": f"[open]({_link(outcome, timeframe, page_url)})",
        "queue ms": _digits(None if took is None else took.queue),
        "model ms": _digits(None if took is None else took.model),
        "store ms": _digits(None if took is None else took.store),
        **_forecast(outcome),
        "reason": reason or outcome.without_events or "",
    }


def _result(outcome: SymbolOutcome) -> tuple[str, str | None]:
    """Return what became of a symbol in a word, and why it has no row."""
    if outcome.row is not None:
        return "unchanged" if outcome.unchanged else "stored", None
    if outcome.error is not None:
        return "FAILED", outcome.error
    return ("skipped", outcome.skipped) if outcome.stale is None else ("STALE", outcome.stale)


def _forecast(outcome: SymbolOutcome) -> dict[str, str]:
    row = outcome.row
    if row is None:
        return _LEFT_OUT
    without = outcome.without_events is not None
    return {
        "events": "not used" if without else event_words(row.event_context),
        "last candle": f"{row.as_of:%Y-%m-%d %H:%M}{' (late)' if outcome.late else ''}",
        "last close": "" if outcome.last_close is None else _last_close(outcome, outcome.last_close),
        "horizon": f"{row.timestamp:%Y-%m-%d %H:%M}",
        "p10": price(row.p10),
        "p50": price(row.p50),
        "p90": price(row.p90),
        "warnings": ", ".join(dict.fromkeys(code_of(text) for text in row.warnings)),
    }


def _last_close(outcome: SymbolOutcome, value: float) -> str:
    marks = [
        *(["clipped"] if outcome.clipped else []),
        *([] if outcome.shorter_lookback is None else [f"lookback {outcome.shorter_lookback}"]),
    ]
    return f"{price(value)} ({', '.join(marks)})" if marks else price(value)


def _digits(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.0f}"


def _link(outcome: SymbolOutcome, timeframe: str, page_url: str) -> str:
    """Return the address of the page that shows the forecast, or the newest one of a symbol without."""
    address = {"symbol": outcome.symbol, "timeframe": timeframe}
    if outcome.row is not None:
        address["as_of"] = f"{outcome.row.as_of:%Y-%m-%dT%H:%M:%SZ}"
    return f"{page_url.rstrip('/')}/#{urlencode(address)}"


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


def outcome_line(outcome: SymbolOutcome) -> str:
    """Return one symbol's part of the run as a line of the log."""
    if outcome.row is None:
        return f"{outcome.symbol}: {': '.join(map(str, _result(outcome)))}"
    row = _forecast(outcome)
    events = event_words(outcome.row.event_context, outcome.without_events)
    kept = "unchanged, " if outcome.unchanged else ""
    return (
        f"{outcome.symbol}: {kept}from {row['last close']} at {row['last candle']} to {row['p50']} "
        f"({row['p10']} … {row['p90']}) at {row['horizon']} UTC; events: {events}"
    )
