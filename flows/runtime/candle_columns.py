"""Candles of many symbols from the database as columns, in one query."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from flows.runtime.aggregated_candles import aggregated_candles, as_frame
from flows.runtime.columns import column_cursor
from flows.runtime.table_columns import CANDLES
from market.timeframes import CANDLE_TABLE
from market.types import DatetimeArray
from sql.loading import load, load_for_table


def last_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], count: int, before: datetime
) -> pl.DataFrame:
    """Read the last candles of each symbol that began before an instant.

    Those of a symbol that the timeframe's table lacks are aggregated from a finer timeframe
    (`market.aggregation`).

    Returns
    -------
    polars.DataFrame
        Columns of `CANDLES`, ordered by symbol and time; up to `count` rows per symbol, and none for a
        symbol without candles. Where some are aggregated, those of `AGGREGATED`, null for stored candles.
    """
    stored = stored_candles(connection, timeframe, symbols, count, before)
    lacking = set(symbols).difference(stored["symbol"].unique())
    aggregated = aggregated_candles(connection, timeframe, sorted(lacking), count, before)
    if not aggregated:
        return stored
    return pl.concat([stored, as_frame(aggregated)], how="diagonal").sort("symbol", "ts")


def stored_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], count: int, before: datetime
) -> pl.DataFrame:
    """Read the last candles of each symbol from the timeframe's table alone; otherwise as `last_candles`."""
    candles = load_for_table("candles", CANDLE_TABLE[timeframe])
    query = sql.SQL(load("candle_columns")).format(candles=candles)
    with column_cursor(connection) as cursor:
        rows = cursor.execute(query, {"symbols": list(symbols), "n": count, "before": before}).fetchall()
    if not rows:
        return pl.DataFrame(schema=CANDLES)
    names, *columns = zip(*rows, strict=True)
    lengths = [len(each) for each in columns[0]]
    whole = {
        name: pl.concat(parts, rechunk=True) for name, parts in zip(list(CANDLES)[1:], columns, strict=True)
    }
    symbol = pl.Series(names, dtype=pl.String()).gather(_repeated(lengths))
    return pl.DataFrame({"symbol": symbol, **whole}, schema=CANDLES)


def last_times(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Sequence[str], count: int, before: datetime
) -> dict[str, DatetimeArray]:
    """Read the times of the candles that `last_candles` reads.

    Returns
    -------
    dict
        By symbol, (n,) datetime64[us] UTC, oldest first; a symbol without candles is not in it.
    """
    query = load_for_table("candle_times", CANDLE_TABLE[timeframe])
    with column_cursor(connection) as cursor:
        rows = cursor.execute(query, {"symbols": list(symbols), "n": count, "before": before})
        stored = {symbol: stamps_of(times) for symbol, times in rows}
    lacking = sorted(set(symbols).difference(stored))
    aggregated = aggregated_candles(connection, timeframe, lacking, count, before)
    return stored | {symbol: candles.timestamps for symbol, candles in aggregated.items()}


def symbols_with_candles(
    connection: psycopg.Connection[Any], timeframe: str, symbols: Iterable[str]
) -> set[str]:
    """Return which of some symbols have candles in the timeframe's table."""
    query = load_for_table("first_candles", CANDLE_TABLE[timeframe])
    return {symbol for symbol, _ in connection.execute(query, {"symbols": list(symbols)})}


def stamps_of(times: pl.Series) -> DatetimeArray:
    """Return a column of instants in UTC as datetime64[us]."""
    return times.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")


def _repeated(lengths: Sequence[int]) -> pl.Series:
    """Return each position as often as its length says."""
    return pl.Series(range(len(lengths)), dtype=pl.UInt32()).repeat_by(pl.Series(lengths)).explode()
