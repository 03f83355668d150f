"""Finds the candles of the past from which no forecast is stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg

from flows.backfilling.past_range import PastRange, TimeSlice
from flows.runtime.aggregated_candles import aggregated_between, first_finer_candles
from flows.runtime.candle_columns import stamps_of, symbols_with_candles
from flows.runtime.columns import column_cursor
from market.instruments import Instrument
from market.time_grid import TimeGridError, candle_bounds
from market.timeframes import CANDLE_DURATION, CANDLE_TABLE
from market.times import aware, instant, instants
from market.types import DatetimeArray, Int64Array
from sql.loading import load, load_for_table

LONGEST_CANDLE: Final = timedelta(days=2)
"""Longer than any candle of up to a day lasts from its timestamp to its close."""

_BEGINNING: Final = datetime.fromisoformat("0001-01-01T00:00Z")
_NO_TIMES: Final = np.empty(0, "datetime64[us]")


@dataclass(frozen=True)
class Starts:
    """The candles that one symbol is to be forecast from.

    Attributes
    ----------
    timestamps, closes
        (n,) datetime64[us] UTC, oldest first.
    """

    timestamps: DatetimeArray
    closes: DatetimeArray

    def __len__(self) -> int:
        return len(self.timestamps)


@dataclass(frozen=True)
class Missing:
    """What of some symbols is missing in a part of the range.

    Attributes
    ----------
    starts
        By symbol, for symbols of which any forecast is missing.
    stored, left_to_live
        By symbol, the numbers of forecasts that are stored already, and of those that are not earlier than
        the newest live forecast, so that a live run has to make them.
    unusable
        By symbol, why none of its candles can be placed in time.
    """

    starts: dict[str, Starts]
    stored: dict[str, int]
    left_to_live: dict[str, int]
    unusable: dict[str, str]

    def __len__(self) -> int:
        return sum(map(len, self.starts.values()))


@dataclass(frozen=True)
class Wanted:
    """What a backfill is to make.

    Attributes
    ----------
    newest_live
        By symbol, the as_of of the newest live forecast of the model; only forecasts before it are made.
    backfilled_since
        Backfilled forecasts are left alone if they were written at this instant or later; None for all.
    """

    past: PastRange
    model_name: str
    newest_live: Mapping[str, datetime]
    backfilled_since: datetime | None


def read_newest_live(
    connection: psycopg.Connection[Any], timeframe: str, model_name: str, symbols: Iterable[str]
) -> dict[str, datetime]:
    """Return the as_of of the newest live forecast of each symbol that has one."""
    parameters = {"symbols": list(symbols), "timeframe": timeframe, "model_name": model_name}
    return dict(connection.execute(load("newest_live_forecasts"), parameters).fetchall())


def read_first_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Iterable[str]
) -> dict[str, datetime]:
    """Return the timestamp of the first candle of each symbol that has one, or of the first finer one."""
    names = list(symbols)
    query = load_for_table("first_candles", CANDLE_TABLE[timeframe])
    stored = dict(connection.execute(query, {"symbols": names}).fetchall())
    return first_finer_candles(connection, timeframe, sorted(set(names).difference(stored))) | stored


def read_missing(
    connection: psycopg.Connection[Any],
    wanted: Wanted,
    instruments: Mapping[str, Instrument],
    part: TimeSlice,
) -> Missing:
    """Return the candles in a part of the range from which forecasts are to be made.

    Parameters
    ----------
    instruments
        By symbol; each has a live forecast in `wanted`.
    """
    timeframe = wanted.past.timeframe
    margin = max(LONGEST_CANDLE, CANDLE_DURATION[timeframe] + timedelta(days=1))
    bounds = {"first": part.after - margin, "last": part.until + margin}
    query = load_for_table("candle_times_between", CANDLE_TABLE[timeframe])
    with column_cursor(connection) as cursor:
        rows = cursor.execute(query, {"symbols": list(instruments), **bounds}).fetchall()
    times = {symbol: stamps_of(series) for symbol, series in rows}
    lacking = set(instruments).difference(times)
    lacking -= symbols_with_candles(connection, timeframe, lacking)  # theirs are outside of the range
    times |= aggregated_between(connection, timeframe, sorted(lacking), bounds["first"], bounds["last"])
    stored = _read_stored(connection, wanted, list(instruments), bounds)
    missing = Missing({}, {}, {}, {})
    for symbol, stamps in times.items():
        try:
            closes = candle_bounds(instruments[symbol], timeframe, stamps)[1]
        except TimeGridError as error:
            missing.unusable[symbol] = str(error)
            continue
        positions = chosen(closes, wanted.past, part)
        is_stored = np.isin(stamps[positions], stored.get(symbol, _NO_TIMES))
        is_later = ~is_stored & (stamps[positions] >= instant(wanted.newest_live[symbol]))
        missing.stored[symbol] = int(is_stored.sum())
        missing.left_to_live[symbol] = int(is_later.sum())
        left = positions[~is_stored & ~is_later]
        if left.size:
            missing.starts[symbol] = Starts(stamps[left], closes[left])
    return missing


def chosen(closes: DatetimeArray, past: PastRange, part: TimeSlice) -> Int64Array:
    """Return the positions of the candles that the range asks for, (n,) int64, oldest first.

    Those are the candles that close within the part, of several that close at once the last; where not every
    candle is wanted, the last one that closes in each step. Steps are counted from the start of the range and
    hold their own end.

    Parameters
    ----------
    closes
        (candles,) datetime64[us] UTC.
    """
    inside = np.flatnonzero((closes > instant(part.after)) & (closes <= instant(part.until)))
    ends = closes[inside].astype("datetime64[us]").astype(np.int64)
    if past.every > 1:
        step_us = past.step // timedelta(microseconds=1)
        ends = -((int(instant(past.start).astype(np.int64)) - ends) // step_us)
    order = np.lexsort((closes[inside], ends))
    is_last = np.append(np.diff(ends[order]) > 0, np.ones(min(1, len(order)), dtype=np.bool_))
    return np.sort(inside[order[is_last]])


def _read_stored(
    connection: psycopg.Connection[Any],
    wanted: Wanted,
    symbols: Sequence[str],
    bounds: Mapping[str, datetime],
) -> dict[str, DatetimeArray]:
    """Return by symbol the as_of of the forecasts that are left alone, (n,) datetime64[us]."""
    parameters = {
        "symbols": symbols,
        "timeframe": wanted.past.timeframe,
        "model_name": wanted.model_name,
        "backfilled_since": wanted.backfilled_since or _BEGINNING,
        **bounds,
    }
    found: dict[str, list[datetime]] = {}
    for symbol, as_of in connection.execute(load("stored_forecasts"), parameters):
        found.setdefault(symbol, []).append(as_of)
    return {symbol: instants(moments) for symbol, moments in found.items()}


def by_instant(starts: Mapping[str, Starts]) -> list[tuple[datetime, dict[str, np.datetime64]]]:
    """Return the instants of the forecasts, oldest first, each with its symbols and their last candles."""
    grouped: dict[np.datetime64, dict[str, np.datetime64]] = {}
    for symbol, candles in starts.items():
        for stamp, close in zip(candles.timestamps, candles.closes, strict=True):
            grouped.setdefault(close, {})[symbol] = stamp
    return [(aware(close), grouped[close]) for close in sorted(grouped)]
