"""Marks scored forecasts as due whose score can have changed, without reading the forecasts or their history.

A scored forecast becomes due when a close that its score was computed from differs from the candle as it is
now (``scored_closes``), or when the releases around it differ from the calendar as it is now
(``scored_releases``). ``upsert_prediction.sql`` marks a forecast that is made again. A mark and what it
follows from are stored in one transaction, so that an interrupted run leaves its marks for the next one.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import psycopg

from flows.events import EventError, load_config
from flows.events.source import read_calendar
from flows.runtime.candle_columns import symbols_with_candles
from flows.runtime.database import limited_transaction
from flows.scoring.step_events import ReleaseDays
from market.timeframes import CANDLE_TABLE
from sql.loading import load, load_for_table

SYMBOLS: Final = 200
"""Symbols whose closes are compared in one statement."""

CALENDAR_MARGIN: Final = timedelta(days=14)
"""Calendar on both sides of forecasts that can matter to their scores: the releases of the days that their
candles touch, and the rows that show that the calendar covers them."""

_ADOPTED_SYMBOLS: Final = 20  # whose histories are marked in one statement, once


def mark_changes(
    connection: psycopg.Connection[Any],
    timeframe: str,
    symbols: Sequence[str],
    as_of: datetime,
    recheck_from: datetime,
) -> None:
    """Mark the scored forecasts as due whose candles or releases have changed, in transactions of its own.

    Parameters
    ----------
    symbols
        Those with an instrument.
    as_of
        Instant of the run.
    recheck_from
        Corrections count for forecasts that matured after it, late candles for all.
    """
    with limited_transaction(connection):
        query = load("untracked_symbols")
        rows = connection.execute(query, {"timeframe": timeframe, "symbols": list(symbols)}).fetchall()
    for block in _blocks([symbol for (symbol,) in rows], _ADOPTED_SYMBOLS):
        with limited_transaction(connection):
            _adopt_scores(connection, timeframe, block, recheck_from)
    with limited_transaction(connection):
        since = _recent_forecasts_from(connection, timeframe, as_of, recheck_from) or as_of
    for block in _blocks(symbols):
        with limited_transaction(connection):
            _mark_changed_closes(connection, timeframe, block, since)
    with limited_transaction(connection):
        _mark_changed_releases(connection, timeframe, symbols, since, as_of, recheck_from)


def mark_all(connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str]) -> None:
    """Mark every scored forecast as due, in transactions of its own."""
    for block in _blocks(symbols):
        with limited_transaction(connection):
            connection.execute(load("release_all_forecasts"), {"timeframe": timeframe, "symbols": block})


def _blocks(symbols: Sequence[str], size: int = SYMBOLS) -> Iterator[list[str]]:
    for start in range(0, len(symbols), size):
        yield list(symbols[start : start + size])


def _adopt_scores(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], recheck_from: datetime
) -> None:
    """Mark forecasts as scored that were scored before there were marks, and matured by an instant."""
    connection.execute(
        load("adopt_scores"),
        {"timeframe": timeframe, "symbols": list(symbols), "recheck_from": recheck_from},
    )


def _recent_forecasts_from(
    connection: psycopg.Connection[Any], timeframe: str, as_of: datetime, recheck_from: datetime
) -> datetime | None:
    """Return the oldest as_of of the forecasts, scored or due, that matured after an instant, if any did."""
    row = connection.execute(
        load("recent_forecasts_from"),
        {"timeframe": timeframe, "as_of": as_of, "recheck_from": recheck_from},
    ).fetchone()
    return None if row is None else row[0]


def _mark_changed_closes(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], since: datetime
) -> None:
    """Mark the forecasts as due of which a close differs from the one that their score was computed from.

    Parameters
    ----------
    since
        Candles before it are compared only where they were missing.
    """
    # Aggregated candles are in no table; a correction of those that they consist of is not noticed.
    stored = sorted(symbols_with_candles(connection, timeframe, symbols))
    connection.execute(
        load_for_table("mark_changed_closes", CANDLE_TABLE[timeframe]),
        {"timeframe": timeframe, "symbols": stored, "since": since},
    )


def _mark_changed_releases(
    connection: psycopg.Connection[Any],
    timeframe: str,
    symbols: Sequence[str],
    since: datetime,
    as_of: datetime,
    recheck_from: datetime,
) -> None:
    """Mark the forecasts as due around which a day's releases differ from those of their score."""
    first = (since - CALENDAR_MARGIN).replace(hour=0, minute=0, second=0, microsecond=0)
    # Twice the margin ahead, so that a day that comes into view is beyond the reach of what has matured.
    releases = _releases_by_day(connection, symbols, first, as_of + 2 * CALENDAR_MARGIN)
    connection.execute(
        load("mark_changed_releases"),
        {
            "timeframe": timeframe,
            "recheck_from": recheck_from,
            "from_day": first.date(),
            "margin": CALENDAR_MARGIN,
            "symbols": [symbol for symbol, _ in releases],
            "days": [day for _, day in releases],
            "releases": list(releases.values()),
        },
    )


def _releases_by_day(
    connection: psycopg.Connection[Any], symbols: Sequence[str], start: datetime, end: datetime
) -> dict[tuple[str, date], str]:
    """Return the releases of a span as `ReleaseDays.by_day` does; empty where the calendar has none."""
    calendar, rates = read_calendar(connection, start, end)
    releases: dict[tuple[str, date], str] = {}
    try:
        for block in _blocks(symbols):
            releases |= ReleaseDays(calendar, rates, block, load_config()).by_day()
    except EventError:
        return {}
    return releases
