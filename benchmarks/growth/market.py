"""Generated hourly candles of any number of symbols, made by the database itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg

from flows.generated.market import generate_market
from flows.load import load_calendar
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from sql.loading import load

AS_OF = datetime(2025, 6, 18, 12, tzinfo=UTC)  # where the generated market ends
CLASSES = ("BTC-USD", "EURUSD", "SPY")  # one calendar each: around the clock, five days, an exchange
SETTINGS = "SET synchronous_commit = off; SET maintenance_work_mem = '512MB'"

_CANDLES = """
INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume)
SELECT
    symbol, ts, price, price * 1.002, price * 0.998, price * (1 + 0.001 * sin(number * 0.9 + row)), 1000 + row
FROM unnest(%(symbols)s::text[], %(numbers)s::int[]) AS named (symbol, number)
CROSS JOIN unnest(%(times)s::timestamptz[]) WITH ORDINALITY AS stamps (ts, row)
CROSS JOIN LATERAL (
    SELECT 100 * exp(0.05 * sin(number * 1.7 + row * 0.11) + 0.02 * sin(row * 0.71)) AS price
) AS walk
"""


def names(count: int) -> list[str]:
    """Symbols of a market of that many."""
    return [f"S{number:05}" for number in range(count)]


def add_market(
    connection: psycopg.Connection[Any], count: int, candles: int, classes: Sequence[str] = CLASSES
) -> None:
    """Store instruments, their last candles up to `AS_OF`, the leaders and a calendar.

    Parameters
    ----------
    classes
        Symbols whose calendars the instruments have in turn.
    """
    market = generate_market()
    load_calendar(connection, market.calendar)
    end = np.datetime64(AS_OF.replace(tzinfo=None), "us")
    for which, like in enumerate(classes):
        instrument = default_instruments()[like]
        times = [time.item().replace(tzinfo=UTC) for time in past_timestamps(instrument, "1h", end, candles)]
        numbers = list(range(which, count, len(classes)))
        symbols = [f"S{number:05}" for number in numbers]
        with connection.transaction(), connection.cursor() as cursor:
            rows = [vars(instrument) | {"symbol": symbol, "active": True} for symbol in symbols]
            cursor.executemany(load("upsert_instruments"), rows)
            cursor.execute(_CANDLES, {"symbols": symbols, "numbers": numbers, "times": times})
            cursor.execute(_CANDLES, {"symbols": [like], "numbers": [which], "times": times})
    connection.execute("ANALYZE")
    connection.commit()
