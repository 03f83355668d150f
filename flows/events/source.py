"""Reads from the database the tables that event arrays are built from, each with one query."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import polars as pl
import psycopg

from flows.events.config import LEADERS, EventConfig
from flows.events.leaders import Leaders
from flows.events.request import EventRequest
from flows.runtime.candle_columns import last_candles
from flows.runtime.table_columns import (
    CENTRAL_BANK_RATES,
    ECONOMIC_CALENDAR,
    ECONOMIC_INDICATORS,
    Columns,
    part,
)
from market.timeframes import CANDLE_DURATION
from market.times import aware
from sql.loading import load

BEFORE: Final = timedelta(days=800)  # 20 monthly releases and some that have no forecast, for σ
AHEAD: Final = timedelta(days=90)  # beyond the next FOMC decision, for the countdown
YEAR_OF_VIX: Final = timedelta(days=375)
_MARGIN: Final = timedelta(days=10)  # the longest closure of a market, for a leader's candle before
_VIXCLS: Final = "VIXCLS"
_INDICATOR: Final = part(ECONOMIC_INDICATORS, ("date", "value", "known_on"))


@dataclass(frozen=True)
class EventSources:
    """Tables as `build_event_arrays` takes them."""

    calendar: pl.DataFrame
    rates: pl.DataFrame
    leaders: Leaders


class Span(NamedTuple):
    """The time for which event arrays are built.

    Attributes
    ----------
    start
        First candle, aware.
    as_of
        Latest instant of a forecast, aware.
    end
        Last candle, of the prediction windows if there are any, aware.
    timeframes
        Of the candles.
    """

    start: datetime
    as_of: datetime
    end: datetime
    timeframes: frozenset[str]

    def union(self, other: "Span") -> "Span":
        """Return the span of both."""
        return Span(
            min(self.start, other.start),
            max(self.as_of, other.as_of),
            max(self.end, other.end),
            self.timeframes | other.timeframes,
        )


def span_of(requests: Sequence[EventRequest]) -> Span:
    """Return the span of some requests, at least one."""
    ends = [(*request.timestamps[-1:], *request.future_timestamps[-1:])[-1] for request in requests]
    return Span(
        start=aware(min(request.timestamps[0] for request in requests)),
        as_of=aware(max(request.as_of for request in requests)),
        end=aware(max(ends)),
        timeframes=frozenset(request.timeframe for request in requests),
    )


def read_sources(connection: psycopg.Connection[Any], span: Span, config: EventConfig) -> EventSources:
    """Read the calendar, the central banks' decisions and the leaders for event arrays in a span.

    Raises
    ------
    psycopg.Error
        A table can't be read.
    """
    symbols = [config.leaders[role].symbol for role in LEADERS]
    year_before = span.start - YEAR_OF_VIX
    candles = {"1d": _read_candles(connection, "1d", symbols, year_before, span.as_of)}
    traded = [symbol for symbol in symbols if symbol != config.leaders["vix"].symbol]
    for timeframe in span.timeframes - {"1d"}:
        start = span.start - max(_MARGIN, 2 * CANDLE_DURATION[timeframe])
        candles[timeframe] = _read_candles(connection, timeframe, traded, start, span.as_of)
    vixcls = None
    if config.leaders["vix"].symbol not in candles["1d"]["symbol"]:
        bounds = {"series_id": _VIXCLS, "start": year_before, "end": span.as_of}
        vixcls = _read(connection, "economic_indicator", bounds, _INDICATOR)
    calendar, rates = read_calendar(connection, span.start - BEFORE, span.end + AHEAD)
    return EventSources(calendar, rates, Leaders(candles, vixcls))


def read_calendar(
    connection: psycopg.Connection[Any], start: datetime, end: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the calendar and the central banks' decisions from `start` (included) to `end` (excluded)."""
    bounds = {"start": start, "end": end}
    return (
        _read(connection, "calendar_window", bounds, ECONOMIC_CALENDAR),
        _read(connection, "central_bank_rates_window", bounds, CENTRAL_BANK_RATES),
    )


def _read_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: list[str], start: datetime, end: datetime
) -> pl.DataFrame:
    count = int((end - start) / CANDLE_DURATION[timeframe]) + 1
    return last_candles(connection, timeframe, symbols, count, end).filter(pl.col("ts") >= start)


def _read(
    connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any], columns: Columns
) -> pl.DataFrame:
    """Run a named query whose columns are those of `columns`, in their order."""
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(load(query), parameters).fetchall()
    return pl.DataFrame(rows, schema=columns, orient="row")
