"""Generated five-minute candles of 25 symbols, and a feed that stores each candle when it has closed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from math import sqrt
from types import TracebackType
from typing import Any, Final, Self

import polars as pl
import psycopg

from flows.generated.continuation import current_releases
from flows.generated.market import CHARACTERS, generate_market
from flows.loading.calendar import load_calendar
from flows.loading.candles import load_candles
from market.instruments import default_instruments
from sql.connect import connect
from sql.loading import load

TIMEFRAME: Final = "5m"
STEP: Final = timedelta(minutes=5)
STEPS_PER_HOUR: Final = timedelta(hours=1) // STEP
HISTORY: Final = 1000
"""Stored candles of each symbol before the first one of the feed: two contexts of the demo model."""

FEED_DELAY_S: Final = 5.0
"""Seconds from a candle's close until the feed stores it."""

LEADERS: Final = ("BTC-USD", "SPY", "DXY", "VIX")
"""Symbols whose returns are channels of the event array; they keep their names."""

SYMBOLS: Final = [name if name in LEADERS else f"{name}-24H" for name in CHARACTERS]
PRICES: Final = ("open", "high", "low", "close")
_SESSION_HOURS: Final = 6
"""Hours that an exchange's day has at least, on the average over a year with its half days and holidays."""


def last_close(now: datetime) -> datetime:
    """Return the last instant at which a candle closed."""
    return datetime.fromtimestamp(now.timestamp() // STEP.total_seconds() * STEP.total_seconds(), UTC)


def five_minute_candles(first: datetime, count: int) -> pl.DataFrame:
    """Return candles of all symbols, made from a generated market's hourly ones as if all traded at any hour.

    Moves are divided by the square root of the candles in an hour, as in a random walk.

    Parameters
    ----------
    first
        Open of the first candle.
    count
        Candles of each symbol.

    Returns
    -------
    polars.DataFrame
        symbol, timestamp (UTC), open, high, low, close, volume; one symbol after another, oldest first.
    """
    market = generate_market(days=count // _SESSION_HOURS + 30, hours=count)
    price = pl.col("open").first().over("symbol")
    return market.candles_1h.select(
        pl.col("symbol").replace_strict(list(CHARACTERS), SYMBOLS),
        (first + STEP * pl.int_range(pl.len()).over("symbol")).alias("timestamp"),
        *((price * (pl.col(name) / price) ** (1 / sqrt(STEPS_PER_HOUR))).alias(name) for name in PRICES),
        pl.col("volume") / STEPS_PER_HOUR,
    )


def add_market(connection: psycopg.Connection[Any], candles: pl.DataFrame, now: datetime) -> None:
    """Store the instruments, which all trade around the clock, their candles, and a generated calendar."""
    instrument = vars(default_instruments()["BTC-USD"])
    for symbol in SYMBOLS:
        connection.execute(load("upsert_instruments"), {**instrument, "symbol": symbol, "active": True})
    load_candles(connection, candles, TIMEFRAME)
    load_calendar(connection, current_releases(now))


class Feed:
    """A thread that stores candles, each `FEED_DELAY_S` after its close; a context manager.

    Parameters
    ----------
    url
        Of the database.
    candles
        Those that close from now on.
    """

    def __init__(self, url: str, candles: pl.DataFrame) -> None:
        self._url = url
        self._candles = candles.sort("timestamp").partition_by("timestamp")
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "feed")

    def __enter__(self) -> Self:
        self._work = self._thread.submit(self._store_all)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.shutdown()
        self._work.result()

    def _store_all(self) -> None:
        with connect(self._url, autocommit=True) as connection:
            for candles in self._candles:
                due = candles["timestamp"][0] + STEP + timedelta(seconds=FEED_DELAY_S)
                if self._stop.wait(max(0.0, (due - datetime.now(UTC)).total_seconds())):
                    return
                load_candles(connection, candles, TIMEFRAME)
