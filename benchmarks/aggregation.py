"""Measures the seconds that reading 25 symbols × 512 candles takes, stored ones and aggregated ones.

``python -m benchmarks.aggregation`` prints a Markdown table. The candles are generated and lie in an embedded
Postgres; a third of the symbols each trade around the clock, five days a week, and by the sessions of an
exchange.
"""

import os
import tempfile
import time
from datetime import UTC, datetime
from typing import Any, Final

import psycopg

from flows.runtime.candle_columns import last_candles
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from market.times import awares, instant
from sql.connect import connect
from sql.embedded import server as embedded
from sql.loading import load
from sql.migrate import migrate

SYMBOLS, COUNT = 25, 512
AS_OF = datetime(2024, 6, 13, 18, tzinfo=UTC)
CLASSES = ("BTC-USD", "EURUSD", "SPY")
STORED: Final = {"5m": 8_000, "1h": 4_000, "1d": 4_000}
"""Number of stored candles of each symbol, by timeframe."""
READ: Final = (("1h", "1h"), ("1h", "2h"), ("1h", "4h"), ("5m", "15m"), ("5m", "1h"), ("1d", "1w"))
"""Pairs of the timeframe that is stored and the one that is read."""

_CANDLES = """
INSERT INTO {table} (symbol, ts, open, high, low, close, volume)
SELECT symbol, ts, 100 + sin(row), 103, 97, 100 + sin(row + 1), row
FROM unnest(%(symbols)s::text[]) AS named (symbol)
CROSS JOIN unnest(%(times)s::timestamptz[]) WITH ORDINALITY AS stamps (ts, row)
"""


def measure(rounds: int = 5) -> list[tuple[str, str, int, float]]:
    """Return the timeframe stored, that read, the candles read, and the seconds: the best of some rounds."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KRONOS_DATA_DIR"] = folder
        os.environ.pop("DATABASE_URL", None)
        try:
            with connect(autocommit=True) as connection:
                migrate(connection)
                return [_read(connection, stored, read, rounds) for stored, read in READ]
        finally:
            embedded.stop()


def _read(
    connection: psycopg.Connection[Any], stored: str, read: str, rounds: int
) -> tuple[str, str, int, float]:
    """Store candles of one timeframe alone, and read those of another."""
    for timeframe in STORED:
        connection.execute(f"TRUNCATE ohlcv_{timeframe}")
    symbols = [f"{CLASSES[number % 3]}.{number}" for number in range(SYMBOLS)]
    for like in CLASSES:
        names = [name for name in symbols if name.startswith(like)]
        stamps = past_timestamps(default_instruments()[like], stored, instant(AS_OF), STORED[stored])
        for name in names:
            row = vars(default_instruments()[like]) | {"symbol": name, "active": True}
            connection.execute(load("upsert_instruments"), row)
        query = _CANDLES.format(table=f"ohlcv_{stored}")
        connection.execute(query, {"symbols": names, "times": awares(stamps)})
    connection.execute("ANALYZE")
    seconds, candles = [], 0
    for _ in range(rounds):
        begin = time.perf_counter()
        candles = last_candles(connection, read, symbols, COUNT, AS_OF).height
        seconds.append(time.perf_counter() - begin)
    return stored, read, candles, min(seconds)


def main() -> None:
    """Print the table."""
    print("| stored | read | candles | seconds |\n|---|---|---|---|")
    for stored, read, candles, seconds in measure():
        print(f"| {stored} | {read} | {candles:,} | {seconds:.3f} |")


if __name__ == "__main__":
    main()
