"""What the event arrays of a run are made from, read from the database: one query per table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
import psycopg

from flows.events.build import EventRequest, EventResult, Reach, build_event_arrays, reach_of
from flows.events.config import LEADERS, EventConfig
from flows.events.leaders import Leaders
from flows.runtime.candle_columns import last_candles
from market.timeframes import CANDLE_DURATION
from sql.loading import load

BEFORE: Final = timedelta(days=800)  # 20 monthly releases and some that have no forecast, for σ
AHEAD: Final = timedelta(days=90)  # beyond the next FOMC decision, for the countdown
YEAR_OF_VIX: Final = timedelta(days=375)
_MARGIN: Final = timedelta(days=10)  # the longest that markets have been shut, for a leader's candle before
_VIXCLS: Final = "VIXCLS"

_INSTANT: Final = pl.Datetime("us", "UTC")
_TEXT: Final = pl.String()
_NUMBER: Final = pl.Float64()
_FLAG: Final = pl.Boolean()
_SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "calendar_window": {
        "event_time": _INSTANT,
        "time_known": _FLAG,
        "scheduled": _FLAG,
        "country": _TEXT,
        "currency": _TEXT,
        "symbol": _TEXT,
        "event_type": _TEXT,
        "title": _TEXT,
        "impact": _TEXT,
        "actual": _NUMBER,
        "forecast": _NUMBER,
        "previous": _NUMBER,
        "hawkish_score": _NUMBER,
        "source": _TEXT,
        "withdrawn_at": _INSTANT,
    },
    "central_bank_rates_window": {
        "bank": _TEXT,
        "decision_time": _INSTANT,
        "time_known": _FLAG,
        "scheduled": _FLAG,
        "rate": _NUMBER,
        "previous": _NUMBER,
        "forecast": _NUMBER,
        "source": _TEXT,
    },
    "economic_indicator": {"date": pl.Date(), "value": _NUMBER, "known_on": pl.Date()},
}


@dataclass(frozen=True)
class EventSources:
    """Tables as `build_event_arrays` takes them."""

    calendar: pl.DataFrame
    rates: pl.DataFrame
    leaders: Leaders


class Span(NamedTuple):
    """First candle of some windows, instant of the forecast, last candle forecast, and the timeframes."""

    first: datetime
    last: datetime
    end: datetime
    timeframes: frozenset[str]

    def with_(self, other: "Span") -> "Span":
        """Return the span of both."""
        return Span(
            min(self.first, other.first),
            max(self.last, other.last),
            max(self.end, other.end),
            self.timeframes | other.timeframes,
        )


class SourcesOfRun:
    """The tables that the event arrays of a run are made from, read once for all blocks of its symbols.

    Attributes
    ----------
    reach
        Of all requests that were included.
    """

    def __init__(self) -> None:
        self.reach: Reach | None = None
        self._span: Span | None = None
        self._held: tuple[Span, EventSources] | None = None

    def include(self, requests: Sequence[EventRequest]) -> None:
        """Take into account what some requests need; what is read already is read again if it falls short."""
        if not requests:
            return
        span, reach = span_of(requests), reach_of(requests)
        self._span = span if self._span is None else self._span.with_(span)
        if reach is not None:
            self.reach = reach if self.reach is None else self.reach.with_(reach)

    def read(self, connection: psycopg.Connection[Any], config: EventConfig) -> EventSources:
        """Return what `read_sources` returns for all requests that were included, at least one."""
        if self._span is None:
            raise ValueError("no requests were included: nothing says which span to read")
        if self._held is None or self._held[0] != self._span:
            self._held = self._span, _read_span(connection, self._span, config)
        return self._held[1]


def read_sources(
    connection: psycopg.Connection[Any], requests: Sequence[EventRequest], config: EventConfig
) -> EventSources:
    """Read the calendar, the central banks' decisions and the leaders for some requests, at least one.

    Raises
    ------
    psycopg.Error
        A table can't be read.
    """
    return _read_span(connection, span_of(requests), config)


def _read_span(connection: psycopg.Connection[Any], span: Span, config: EventConfig) -> EventSources:
    first, last, end, timeframes = span
    daily = [config.leaders[role].symbol for role in LEADERS]
    candles = {"1d": _read_candles(connection, "1d", daily, first - YEAR_OF_VIX, last)}
    if "1h" in timeframes:
        candles["1h"] = _read_candles(connection, "1h", daily[:-1], first - _MARGIN, last)
    vixcls = None
    if config.leaders["vix"].symbol not in candles["1d"]["symbol"]:
        given = {"series_id": _VIXCLS, "start": first - YEAR_OF_VIX, "end": last}
        vixcls = _read(connection, "economic_indicator", given)
    calendar, rates = read_calendar(connection, first - BEFORE, end + AHEAD)
    return EventSources(calendar, rates, Leaders(candles, vixcls))


def read_calendar(
    connection: psycopg.Connection[Any], start: datetime, end: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the calendar and the central banks' decisions from `start` (included) to `end` (excluded)."""
    window = {"start": start, "end": end}
    return (
        _read(connection, "calendar_window", window),
        _read(connection, "central_bank_rates_window", window),
    )


def events_from_database(
    connection: psycopg.Connection[Any],
    requests: Sequence[EventRequest],
    config: EventConfig,
    sources_of_run: SourcesOfRun | None = None,
) -> dict[str, EventResult]:
    """Read the tables and build the event arrays of some symbols; raises what these two functions raise."""
    if not requests:
        return {}
    of_run = sources_of_run or SourcesOfRun()
    of_run.include(requests)
    sources = of_run.read(connection, config)
    return build_event_arrays(
        requests, sources.calendar, sources.leaders, config, sources.rates, of_run.reach
    )


def span_of(requests: Sequence[EventRequest]) -> Span:
    """Return the span of the windows of some requests, at least one."""
    ends = [(*request.timestamps[-1:], *request.future_timestamps[-1:])[-1] for request in requests]
    return Span(
        _aware(min(request.timestamps[0] for request in requests)),
        _aware(max(request.as_of for request in requests)),
        _aware(max(ends)),
        frozenset(request.timeframe for request in requests),
    )


def _aware(instant: np.datetime64) -> datetime:
    moment: datetime = instant.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def _read_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: list[str], start: datetime, end: datetime
) -> pl.DataFrame:
    count = int((end - start) / CANDLE_DURATION[timeframe]) + 1
    return last_candles(connection, timeframe, symbols, count, end).filter(pl.col("ts") >= start)


def _read(connection: psycopg.Connection[Any], query: str, given: dict[str, Any]) -> pl.DataFrame:
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(load(query), given).fetchall()
    return pl.DataFrame(rows, schema=_SCHEMAS[query], orient="row")
