"""Aggregates stored candles of a finer timeframe for symbols that have none of the one that was asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
from psycopg.rows import TupleRow

from inference_server.forecast.windows import Window
from market.aggregation import aggregate, choose_sources, first_needed
from market.instruments import Instrument
from market.time_grid import TimeGridError
from market.timeframes import CANDLE_TABLE, TIMEFRAMES
from market.times import aware, instant, instants
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
    windows: dict[str, Window] = {}
    for source, of_source in choose_sources(instruments, timeframe, newest).items():
        starts = {}
        for symbol, instrument in of_source.items():
            try:
                starts[symbol] = aware(first_needed(instrument, timeframe, newest[source][symbol], count))
            except TimeGridError as error:
                log.warning("%s: no %s candles are aggregated: %s", symbol, timeframe, error)
                continue
        parameters = {"symbols": list(starts), "starts": list(starts.values()), "before": aware(before)}
        rows = await read(load_for_table("candles_since", CANDLE_TABLE[source]), parameters)
        candles = await asyncio.to_thread(_aggregate, rows, of_source, timeframe, source, before)
        windows |= {
            symbol: window.keep(np.arange(len(window))[-count:]) for symbol, window in candles.items()
        }
    return windows


def _aggregate(
    rows: Sequence[TupleRow],
    instruments: Mapping[str, Instrument],
    timeframe: str,
    source: str,
    before: np.datetime64,
) -> dict[str, Window]:
    by_symbol: dict[str, list[TupleRow]] = {}
    for row in rows:
        by_symbol.setdefault(row[0], []).append(row)
    windows = {}
    for symbol, of_symbol in by_symbol.items():
        features = np.array([row[2:8] for row in of_symbol], dtype=np.float64)
        stamps = instants(row[1] for row in of_symbol)
        try:
            candles = aggregate(instruments[symbol], timeframe, source, stamps, features, before)
        except TimeGridError as error:
            log.warning("%s: no %s candles are aggregated: %s", symbol, timeframe, error)
            continue
        if note := candles.note(symbol, timeframe, source):
            log.warning("%s", note)
        if len(candles.timestamps):
            windows[symbol] = Window(candles.features, candles.timestamps)
    return windows
