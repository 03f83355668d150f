"""Finds the symbols whose newest candle has closed and is not in the database yet, and waits for it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import psycopg
from prefect.logging import get_run_logger

from flows.forecasting.candles import CandleWindow
from flows.runtime.aggregated_candles import aggregated_candles
from flows.runtime.run_database import RunDatabase
from flows.runtime.time_limits import OutOfTime, waiting_limit_s
from market.instruments import Instrument
from market.time_grid import TimeGridError, closed_by, future_timestamps
from market.timeframes import CANDLE_TABLE, Timeframe
from market.times import aware, instant
from sql.errors import DatabaseError
from sql.loading import load_for_table

POLL_S: Final = 5.0
"""Seconds between two looks at the newest candles: one index probe for each symbol that is waited for."""


def newest_candles(
    connection: psycopg.Connection[Any], timeframe: Timeframe, symbols: Sequence[str], before: datetime
) -> dict[str, datetime]:
    """Return the open of the newest candle of each symbol that began before an instant.

    That of a symbol that the timeframe's table lacks is aggregated. Symbols without candles are left out.

    Raises
    ------
    psycopg.Error
        The table can't be read.
    """
    query = load_for_table("newest_candle_opens", CANDLE_TABLE[timeframe])
    rows = connection.execute(query, {"symbols": list(symbols), "before": before}).fetchall()
    stored = {symbol: ts for symbol, ts in rows if ts is not None}
    lacking = sorted(set(symbols).difference(stored))
    aggregated = aggregated_candles(connection, timeframe, lacking, 1, before)
    return stored | {symbol: aware(candles.timestamps[-1]) for symbol, candles in aggregated.items()}


def may_be_late(
    instruments: Mapping[str, Instrument],
    newest: Mapping[str, datetime],
    timeframe: Timeframe,
    as_of: datetime,
) -> list[str]:
    """Return the symbols for which a later candle than the newest stored one had closed, by their calendars.

    A feed whose candles stand on other times than the calendar's may be among them without being late;
    `expected_candles` decides. Closed markets and symbols without candles are not.
    """
    now = instant(as_of)
    return [
        symbol
        for symbol, instrument in instruments.items()
        if symbol in newest and _next_has_closed(instrument, timeframe, instant(newest[symbol]), now)
    ]


def _next_has_closed(
    instrument: Instrument, timeframe: Timeframe, newest: np.datetime64, now: np.datetime64
) -> bool:
    try:
        following = future_timestamps(instrument, timeframe, newest, 1)
        return bool(closed_by(instrument, timeframe, following, now).all())
    except TimeGridError:  # the block that forecasts the symbol reports it
        return False


def expected_candles(
    windows: Mapping[str, CandleWindow], timeframe: Timeframe, as_of: datetime
) -> dict[str, datetime]:
    """Return the open of the newest candle that had closed by an instant, for each symbol that lacks it.

    Parameters
    ----------
    windows
        Those that forecasts would start from now. Stale symbols have none and are not waited for.
    """
    expected = {}
    for symbol, window in windows.items():
        if window.late:
            following = window.future_timestamps
            closed = closed_by(window.instrument, timeframe, following, instant(as_of))
            expected[symbol] = aware(following[closed][-1])
    return expected


def waiting_ends_in_s(as_of: datetime, wait_s: float) -> float:
    """Return for how many seconds from now a run may wait for candles; 0 where it should not.

    The time counts from `as_of`, so that a run of the past waits for nothing, and a run whose other symbols
    took longer does not wait on top of that. It leaves the run the time for one more forecast.
    """
    left_s = (as_of + timedelta(seconds=wait_s) - datetime.now(UTC)).total_seconds()
    if left_s <= 0:
        return 0.0
    try:
        return waiting_limit_s(left_s)
    except OutOfTime:
        return 0.0


def arrivals(
    database: RunDatabase,
    timeframe: Timeframe,
    expected: Mapping[str, datetime],
    as_of: datetime,
    wait_s: float,
) -> Iterator[list[str]]:
    """Yield symbols together as their expected candles arrive; when the time is over, all others.

    A database that can't be read is asked again until then.

    Parameters
    ----------
    expected
        What `expected_candles` returned.
    as_of, wait_s
        See `waiting_ends_in_s`.
    """
    waiting = dict(expected)
    ends = time.monotonic() + waiting_ends_in_s(as_of, wait_s)
    logger = get_run_logger()
    while waiting:
        try:
            with database.connection() as connection:
                newest = newest_candles(connection, timeframe, list(waiting), as_of)
        except (DatabaseError, psycopg.Error, OutOfTime) as error:
            logger.warning("the newest candles can't be read: %s", error)
            newest = {}
        arrived = [symbol for symbol, ts in waiting.items() if symbol in newest and newest[symbol] >= ts]
        if arrived:
            for symbol in arrived:
                del waiting[symbol]
            yield arrived
            continue
        left_s = ends - time.monotonic()
        if left_s <= 0:
            logger.warning("waited long enough for the newest candles of %s", ", ".join(waiting))
            yield list(waiting)
            return
        logger.debug("waiting another %.0f s for %s", left_s, ", ".join(waiting))
        time.sleep(min(POLL_S, left_s))
