"""Hourly candles of 25 symbols that trade around the clock, and a calendar with a rate decision ahead."""

from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
import psycopg

from flows.generated.market import END, generate_market
from flows.load import load_calendar, load_candles
from market.instruments import default_instruments
from sql.loading import load

SYMBOLS: Final = [f"COIN{number:02}-USD" for number in range(25)]
LIKE: Final = "BTC-USD"
PRICES: Final = ["open", "high", "low", "close"]
HOURS: Final = 200
LOOKBACK: Final = 64

MARKET_END: Final = END + timedelta(hours=5)
"""One hour before the rate decision."""

AS_OFS: Final = [MARKET_END - timedelta(hours=hour) for hour in range(21)]
"""Instants of which each gives every symbol a row of its own, with the rate decision in the next 24 hours."""


def add_market(connection: psycopg.Connection[Any]) -> None:
    """Store instruments, candles and calendar; each symbol has the candles of one coin at another price."""
    market = generate_market(end=MARKET_END, days=60, hours=HOURS)
    candles = market.candles_1h.filter(symbol=LIKE)
    instrument = vars(default_instruments()[LIKE])
    for number, symbol in enumerate(SYMBOLS):
        connection.execute(load("upsert_instruments"), {**instrument, "symbol": symbol, "active": True})
        scaled = candles.with_columns(pl.lit(symbol).alias("symbol"), pl.col(PRICES) * (1 + number / 10))
        load_candles(connection, scaled, "1h")
    load_calendar(connection, market.calendar)


def last_candle(as_of: datetime) -> datetime:
    """The open of the last candle that had closed by an instant of `AS_OFS`."""
    return as_of - timedelta(hours=1)
