"""Aggregates stored candles of a finer timeframe for symbols that have none of the one that was asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from psycopg.rows import TupleRow

from inference_server.forecast.windows import Window
from market.aggregation import AggregatedCandles, aggregate_each
from market.aggregation_sources import needed_candles
from market.instruments import Instrument
from market.timeframes import CANDLE_TABLE, TIMEFRAMES
from market.times import aware, instant, instants
from market.types import DatetimeArray, Float64Array
from sql.loading import load_for_table, load_for_tables

log = logging.getLogger(__name__)

ReadRows = Callable[[Any, dict[str, Any]], Awaitable[list[TupleRow]]]
"""Returns the rows of a query with its parameters."""


async def aggregated_windows(
    read: ReadRows,
    instruments: Mapping[str, Instrument],
    timeframe: str,
    count: int,
    before: np.datetime64,
) -> dict[str, Window]:
    """Return the last candles of instruments, aggregated from finer ones that began before an instant.

    Parameters
    ----------
    instruments
        By symbol; those without finer candles, and those whose trading calendar is unknown or does not cover
        the candles, are absent in the answer.
    count
        The most candles of each.

    Raises
    ------
    DatabaseUnavailable
        As `read`.
    """
    if timeframe == TIMEFRAMES[0] or not instruments:
        return {}
    tables = {name: CANDLE_TABLE[name] for name in TIMEFRAMES[: TIMEFRAMES.index(timeframe)]}
    query = load_for_tables("newest_of_timeframes", tables)
    newest: dict[str, dict[str, np.datetime64]] = {}
    for symbol, name, ts in await read(query, {"symbols": list(instruments), "before": aware(before)}):
        newest.setdefault(name, {})[symbol] = instant(ts)
    needed = needed_candles(instruments, timeframe, newest, count)
    found: dict[str, AggregatedCandles] = {}
    refused = needed.refused
    for source, starts in needed.starts.items():
        parameters = {
            "symbols": list(starts),
            "starts": [aware(start) for start in starts.values()],
            "before": aware(before),
        }
        rows = await read(load_for_table("candles_since", CANDLE_TABLE[source]), parameters)
        of_source, of_source_refused = await asyncio.to_thread(
            _aggregate, rows, instruments, timeframe, source, before, count
        )
        found |= of_source
        refused |= of_source_refused
    for symbol, reason in refused.items():
        log.warning("%s: no %s candles are aggregated: %s", symbol, timeframe, reason)
    return {
        symbol: Window(candles.features, candles.timestamps, candles.missing)
        for symbol, candles in found.items()
    }


def _aggregate(
    rows: Sequence[TupleRow],
    instruments: Mapping[str, Instrument],
    timeframe: str,
    source: str,
    before: np.datetime64,
    count: int,
) -> tuple[dict[str, AggregatedCandles], dict[str, str]]:
    return aggregate_each(instruments, timeframe, source, _by_symbol(rows), before, count)


def _by_symbol(rows: Sequence[TupleRow]) -> dict[str, tuple[DatetimeArray, Float64Array]]:
    """Return timestamps (m,) and features (m, 6) of each symbol from rows (symbol, ts, six features)."""
    by_symbol: dict[str, list[TupleRow]] = {}
    for row in rows:
        by_symbol.setdefault(row[0], []).append(row)
    return {
        symbol: (
            instants(row[1] for row in of_symbol),
            np.array([row[2:8] for row in of_symbol], dtype=np.float64),
        )
        for symbol, of_symbol in by_symbol.items()
    }
