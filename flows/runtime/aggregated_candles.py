"""Candles of symbols that a timeframe's table lacks, aggregated from those of a finer one on reading."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import psycopg
from psycopg import sql

from flows.runtime.columns import column_cursor
from flows.runtime.instruments import known_instruments
from flows.runtime.table_columns import AGGREGATED, CANDLES
from market.aggregation import AggregatedCandles, aggregate_each
from market.aggregation_sources import finer_timeframes, needed_candles
from market.timeframes import CANDLE_DURATION, CANDLE_TABLE, TIMEFRAMES
from market.times import aware, instant
from market.types import DatetimeArray, Float64Array
from sql.loading import load, load_for_table, load_for_tables

log = logging.getLogger(__name__)


def aggregated_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], count: int, before: datetime
) -> dict[str, AggregatedCandles]:
    """Return the last candles of each symbol, aggregated from finer ones that began before an instant.

    Each symbol's are aggregated from the coarsest finer timeframe that it has, or from its `aggregate_from`.

    Returns
    -------
    dict
        Up to `count` candles of each symbol; a symbol without finer candles, and one whose trading calendar
        is unknown or does not cover them, is not in it.
    """
    if timeframe == TIMEFRAMES[0] or not symbols:
        return {}
    newest = _newest_finer(connection, timeframe, symbols, before)
    if not newest:
        return {}
    known = known_instruments(connection)
    instruments = {symbol: known[symbol] for symbol in symbols if symbol in known}
    needed = needed_candles(instruments, timeframe, newest, count)
    found: dict[str, AggregatedCandles] = {}
    refused = needed.refused
    for source, starts in needed.starts.items():
        finer = _read_since(connection, source, starts, before)
        of_source, of_source_refused = aggregate_each(
            instruments, timeframe, source, finer, instant(before), count
        )
        found |= of_source
        refused |= of_source_refused
    for symbol, reason in refused.items():
        log.warning("%s: no %s candles are aggregated: %s", symbol, timeframe, reason)
    return found


def aggregated_between(
    connection: psycopg.Connection[Any],
    timeframe: str,
    symbols: Sequence[str],
    first: datetime,
    last: datetime,
) -> dict[str, DatetimeArray]:
    """Return the timestamps, (n,), of the aggregated candles from one instant to another, both included."""
    # A candle that is stamped with the last instant closes within its length; a day of FX, on the next date.
    before = last + CANDLE_DURATION[timeframe] + timedelta(days=1)
    count = int((before - first) / CANDLE_DURATION[timeframe]) + 2
    found = aggregated_candles(connection, timeframe, symbols, count, before)
    stamps = {symbol: candles.timestamps for symbol, candles in found.items()}
    inside = {
        symbol: times[(times >= instant(first)) & (times <= instant(last))]
        for symbol, times in stamps.items()
    }
    return {symbol: times for symbol, times in inside.items() if times.size}


def first_finer_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str]
) -> dict[str, datetime]:
    """Return the timestamp of the first of the candles that each symbol's are aggregated from."""
    known = known_instruments(connection) if symbols else {}
    instruments = {symbol: known[symbol] for symbol in symbols if symbol in known}
    found: dict[str, datetime] = {}
    for source in TIMEFRAMES[: TIMEFRAMES.index(timeframe)][::-1]:
        wanted = [
            symbol
            for symbol, instrument in instruments.items()
            if symbol not in found and source in finer_timeframes(instrument, timeframe)
        ]
        if wanted:
            query = load_for_table("first_candles", CANDLE_TABLE[source])
            found |= dict(connection.execute(query, {"symbols": wanted}).fetchall())
    return found


def as_frame(candles: Mapping[str, AggregatedCandles]) -> pl.DataFrame:
    """Return aggregated candles with the columns of `AGGREGATED`, ordered by symbol and time."""
    parts = []
    for symbol in sorted(candles):
        of_symbol = candles[symbol]
        count = len(of_symbol.timestamps)
        columns = dict(zip(list(CANDLES)[2:], of_symbol.features.T.copy(), strict=True))
        values = {
            "symbol": [symbol] * count,
            "ts": pl.Series(of_symbol.timestamps).dt.replace_time_zone("UTC"),
            **columns,
            "aggregated_from": [of_symbol.missing.source] * count,
            "missing_parts": of_symbol.missing.counts,
        }
        parts.append(pl.DataFrame(values, schema=AGGREGATED))
    whole = pl.concat(parts) if parts else pl.DataFrame(schema=AGGREGATED)
    return whole.with_columns(pl.col("volume", "amount").fill_nan(None))


def _newest_finer(
    connection: psycopg.Connection[Any],
    timeframe: str,
    symbols: Sequence[str],
    before: datetime,
) -> dict[str, dict[str, np.datetime64]]:
    """Return the newest candle of each symbol in the finer timeframes, by timeframe and symbol."""
    tables = {name: CANDLE_TABLE[name] for name in TIMEFRAMES[: TIMEFRAMES.index(timeframe)]}
    query = load_for_tables("newest_of_timeframes", tables)
    newest: dict[str, dict[str, np.datetime64]] = {}
    for symbol, name, ts in connection.execute(query, {"symbols": list(symbols), "before": before}):
        newest.setdefault(name, {})[symbol] = instant(ts)
    return newest


def _read_since(
    connection: psycopg.Connection[Any], source: str, starts: Mapping[str, np.datetime64], before: datetime
) -> dict[str, tuple[DatetimeArray, Float64Array]]:
    """Return timestamps (m,) and features (m, 6) of each symbol's candles from an instant of its own on."""
    candles = load_for_table("candles_since", CANDLE_TABLE[source])
    query = sql.SQL(load("candle_columns")).format(candles=candles)
    parameters = {
        "symbols": list(starts),
        "starts": [aware(start) for start in starts.values()],
        "before": before,
    }
    with column_cursor(connection) as cursor:
        rows = cursor.execute(query, parameters).fetchall()
    return {
        symbol: (
            times.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"),
            np.column_stack([column.to_numpy() for column in columns]),
        )
        for symbol, times, *columns in rows
    }
