"""Summarises a run in sentences, for its state, its log and its artifact; `run_table` has the table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flows.forecasting.store import PredictionRow
from flows.runtime.sentences import listed
from market.warning_codes import WarningCode, code_of, warning

_NOTICED = (WarningCode.CANDLES_LATE, WarningCode.EVENTS_NOT_USED)


@dataclass(frozen=True)
class Horizon:
    """The part of a stored row that a summary shows: its last step, events and warnings.

    A run keeps one of each symbol until its end, a whole row only until it is stored.

    Attributes
    ----------
    as_of
        Timestamp of the last candle used.
    timestamp, p10, p50, p90
        Of the last step.
    """

    as_of: datetime
    timestamp: datetime
    p10: float
    p50: float
    p90: float
    event_context: dict[str, Any] | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, row: PredictionRow) -> "Horizon":
        """Return the end of a row."""
        return cls(
            row.as_of,
            row.timestamps[-1],
            row.p10[-1],
            row.p50[-1],
            row.p90[-1],
            row.event_context,
            tuple(row.warnings or ()),
        )


@dataclass(frozen=True)
class Milliseconds:
    """How long the forecast of a symbol took, in milliseconds; None where that is not known.

    Attributes
    ----------
    queue, model
        In the server's queue, and in its model.
    store
        The transaction that stored the row, with the rows of other symbols that were ready by then.
    """

    queue: float | None
    model: float | None
    store: float


@dataclass(frozen=True)
class SymbolOutcome:
    """The outcome of a run for one symbol: a stored row, or the reason why there is none.

    Attributes
    ----------
    row
        The end of the stored row.
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
    unchanged
        The row was there already, and was left as it is.
    clipped
        Whether the last close was clipped, so that the forecast does not start at it.
    shorter_lookback
        Number of candles used, if the window was shortened so that the last close is not clipped.
    took
        Times of a row that this run made; None for others.
    """

    symbol: str
    row: Horizon | None = None
    error: str | None = None
    skipped: str | None = None
    stale: str | None = None
    last_close: float | None = None
    late: bool = False
    without_events: str | None = None
    unchanged: bool = False
    clipped: bool = False
    shorter_lookback: int | None = None
    took: Milliseconds | None = None


def notices(outcomes: Sequence[SymbolOutcome]) -> list[str]:
    """Return the notices of a run: stale, late and clipped candles, and why forecasts have no events."""
    stored = [outcome for outcome in outcomes if outcome.row is not None]
    lines = [
        warning(WarningCode.STALE_CANDLES, f"STALE: {outcome.symbol}: not forecast: {outcome.stale}")
        for outcome in outcomes
        if outcome.stale is not None
    ]
    late = [outcome.symbol for outcome in stored if outcome.late]
    if late:
        lines.append(
            warning(
                WarningCode.CANDLES_LATE,
                f"LATE CANDLES: {listed(late)}: newer ones have closed and are not in the database",
            )
        )
    clipped = [outcome.symbol for outcome in stored if outcome.clipped]
    if clipped:
        lines.append(
            warning(
                WarningCode.CLIPPED_CANDLES,
                f"CLIPPED: {listed(clipped)}: the last close lies beyond what the model can see, so that "
                "the forecast starts away from it",
            )
        )
    shorter = [f"{each.symbol} ({each.shorter_lookback})" for each in stored if each.shorter_lookback]
    if shorter:
        text = f"SHORTER LOOKBACK: {listed(shorter)}: with more candles the last close would be clipped"
        lines.append(warning(WarningCode.SHORTER_LOOKBACK, text))
    return lines + [warning(WarningCode.EVENTS_NOT_USED, text) for text in without_events(outcomes)]


def without_events(outcomes: Iterable[SymbolOutcome]) -> list[str]:
    """Return why forecasts were made without events, each reason with its symbols."""
    by_reason: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.row is not None and outcome.without_events is not None:
            by_reason.setdefault(outcome.without_events, []).append(outcome.symbol)
    return [f"WITHOUT EVENTS: {listed(names)}: {reason}" for reason, names in by_reason.items()]


def warning_lines(outcomes: Sequence[SymbolOutcome]) -> list[str]:
    """Return the warnings of the rows that are not in the notices, each once with its symbols."""
    by_text: dict[str, list[str]] = {}
    for outcome in outcomes:
        for text in () if outcome.row is None else other_warnings(outcome.row.warnings):
            by_text.setdefault(text, []).append(outcome.symbol)
    return [f"{text} ({listed(names)})" for text, names in by_text.items()]


def other_warnings(warnings: Iterable[str]) -> list[str]:
    """Return the warnings of a row but for those that `notices` gathers."""
    return [text for text in warnings if code_of(text) not in _NOTICED]


def failure_message(outcomes: Sequence[SymbolOutcome]) -> str | None:
    """Return the symbols that failed and why, or None where none did and at least one was stored."""
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    rows = [outcome for outcome in outcomes if outcome.row is not None]
    if failed:
        reasons = _by_reason((outcome.symbol, str(outcome.error)) for outcome in failed)
        unchanged = sum(outcome.unchanged for outcome in rows)
        stored = f"{len(rows) - unchanged} stored{f', {unchanged} unchanged' if unchanged else ''}"
        return f"{len(failed)} of {len(outcomes)} symbols failed, {stored}. {reasons}"
    if not rows:
        reasons = _by_reason((outcome.symbol, str(outcome.skipped or outcome.stale)) for outcome in outcomes)
        return f"nothing was forecast. {reasons}"
    return None


def _by_reason(named: Iterable[tuple[str, str]]) -> str:
    """Return symbols with their reasons, each reason once: a lost database may fail thousands of symbols."""
    symbols: dict[str, list[str]] = {}
    for symbol, reason in named:
        symbols.setdefault(reason, []).append(symbol)
    return "; ".join(f"{listed(names)}: {reason}" for reason, names in symbols.items())
