"""What the event arrays of a run are made from, read from the database: one query per table."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl
import psycopg

from flows.events.build import EventRequest, EventResult, build_event_arrays
from flows.events.config import LEADERS, EventConfig
from flows.events.leaders import Leaders
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
    "candles": {
        "symbol": _TEXT,
        "ts": _INSTANT,
        **dict.fromkeys(("open", "high", "low", "close", "volume", "amount"), _NUMBER),
    },
}


@dataclass(frozen=True)
class EventSources:
    """Tables as `build_event_arrays` takes them."""

    calendar: pl.DataFrame
    rates: pl.DataFrame
    leaders: Leaders


def read_sources(
    connection: psycopg.Connection[Any], requests: Sequence[EventRequest], config: EventConfig
) -> EventSources:
    """Read the calendar, the central banks' decisions and the leaders for a run.

    Parameters
    ----------
    connection
        In the time zone UTC, as `sql.connect.connect` opens it.
    requests
        Of the run, at least one; together they say which span to read.

    Raises
    ------
    psycopg.Error
        A table can't be read.
    """
    first, last, end = _span(requests)
    daily = [config.leaders[role].symbol for role in LEADERS]
    candles = {"1d": _read_candles(connection, "1d", daily, first - YEAR_OF_VIX, last)}
    if any(request.timeframe == "1h" for request in requests):
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
    connection: psycopg.Connection[Any], requests: Sequence[EventRequest], config: EventConfig
) -> dict[str, EventResult]:
    """Read the tables and build the event arrays of a run; raises what these two functions raise."""
    if not requests:
        return {}
    sources = read_sources(connection, requests, config)
    return build_event_arrays(requests, sources.calendar, sources.leaders, config, sources.rates)


def _span(requests: Sequence[EventRequest]) -> tuple[datetime, datetime, datetime]:
    """Return the first candle, the instant of the forecast and the last candle of the prediction window."""
    ends = [(*request.timestamps, *request.future_timestamps)[-1] for request in requests]
    return (
        _aware(min(request.timestamps[0] for request in requests)),
        _aware(max(request.as_of for request in requests)),
        _aware(max(ends)),
    )


def _aware(instant: np.datetime64) -> datetime:
    moment: datetime = instant.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def _read_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: list[str], start: datetime, end: datetime
) -> pl.DataFrame:
    length = CANDLE_DURATION[timeframe]
    given = {"symbols": symbols, "n": int((end - start) / length) + 1, "before": end}
    return _read(connection, f"candles_{timeframe}", given).filter(pl.col("ts") >= start)


def _read(connection: psycopg.Connection[Any], query: str, given: dict[str, Any]) -> pl.DataFrame:
    schema = _SCHEMAS["candles" if query.startswith("candles_") else query]
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(load(query), given).fetchall()
    return pl.DataFrame(rows, schema=schema, orient="row")
