"""Writes the files of a generated market, or continues one that the database holds as time passes.

None of its prices is real.
"""

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import polars as pl
import psycopg

from flows.generated.continuation import current_releases, next_days, next_hours
from flows.generated.market import CHARACTERS, END, SEED, generate_market, widening_releases
from flows.loading.calendar import load_calendar
from flows.loading.candles import load_candles
from flows.runtime.arguments import instant as instant_in
from flows.runtime.candle_columns import last_candles
from market.timeframes import CANDLE_LENGTH
from market.times import instant
from sql.connect import connect
from sql.errors import DatabaseError, one_line
from sql.loading import load

_PAUSE_S: Final = 60.0
"""Seconds between two looks at the clock."""


def main(arguments: list[str] | None = None, prog: str = "python -m flows.generate") -> int:
    """Write a generated market to a folder, or continue the database's until SIGTERM."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="folder for the Parquet files")
    what.add_argument(
        "--follow",
        action="store_true",
        help="add each hour's candles and figures to the database's generated market, until SIGTERM",
    )
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--end",
        type=_end,
        default=END,
        help="instant by which the last candle of the files has closed, ISO 8601, or now; "
        f"{END:%Y-%m-%dT%H:%MZ} unless given",
    )
    args = parser.parse_args(arguments)
    if args.follow:
        return follow(args.seed)
    market = generate_market(seed=args.seed, end=args.end)
    market.write(args.out)
    print(f"wrote a generated market of {len(CHARACTERS)} symbols to {args.out} (no real prices)")
    return 0


def _end(text: str) -> datetime:
    return datetime.now(UTC) if text == "now" else instant_in(text)


def follow(seed: int = SEED) -> int:
    """Continue the database's generated market until SIGTERM or SIGINT; return the exit status."""
    asked_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked_to_stop.set())
    try:
        while not asked_to_stop.is_set():
            with connect(autocommit=True) as connection:
                if not holds_generated_market(connection):
                    print("error: the database holds no generated market, or other data too", file=sys.stderr)
                    return 1
                added = continue_market(connection, datetime.now(UTC), seed)
            if added:
                print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} added {added} GENERATED candles", flush=True)
            asked_to_stop.wait(_PAUSE_S)
    except (DatabaseError, psycopg.Error) as error:
        message = one_line(error) if isinstance(error, psycopg.Error) else error
        print(f"error: {message}", file=sys.stderr)
        return 1
    return 0


def holds_candles(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the database has any candles."""
    has_candles, _, _ = _kind_of_market(connection)
    return has_candles


def holds_generated_market(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the database holds a generated market and nothing of another source."""
    has_candles, is_generated, symbols = _kind_of_market(connection)
    return has_candles and is_generated and set(symbols) <= set(CHARACTERS)


def _kind_of_market(connection: psycopg.Connection[Any]) -> tuple[bool, bool, list[str]]:
    row: tuple[bool, bool, list[str]] | None = connection.execute(load("kind_of_market")).fetchone()
    assert row is not None  # a query without FROM has one row
    return row


def store_market(connection: psycopg.Connection[Any], now: datetime, seed: int = SEED) -> None:
    """Store a generated market whose last candles have just closed.

    Parameters
    ----------
    connection
        In autocommit mode, to a migrated database.
    now
        Aware instant.
    """
    market = generate_market(seed=seed, end=now)
    load_candles(connection, market.candles_1h, "1h")
    load_candles(connection, market.candles_1d, "1d")
    load_calendar(connection, current_releases(now, seed))


def continue_market(connection: psycopg.Connection[Any], now: datetime, seed: int = SEED) -> int:
    """Add the candles that have closed and the releases' figures; return the number of candles.

    Parameters
    ----------
    connection
        In autocommit mode, to a database with a generated market.
    now
        Aware instant.
    """
    calendar = current_releases(now, seed)
    releases, until = widening_releases(calendar), instant(now)
    hours = [
        next_hours(symbol, stamp, close, until, releases, seed)
        for symbol, stamp, close in _last(connection, "1h", now)
    ]
    added = sum(frame.height for frame in hours)
    if added:
        load_candles(connection, pl.concat(hours), "1h")
        load_calendar(connection, calendar)
        added += _add_days(connection, now)
    return added


def _add_days(connection: psycopg.Connection[Any], now: datetime) -> int:
    last = _last(connection, "1d", now)
    oldest = min((stamp for _, stamp, _ in last), default=instant(now))
    count = int((instant(now + timedelta(days=2)) - oldest) / CANDLE_LENGTH["1h"])
    stored = last_candles(connection, "1h", [symbol for symbol, _, _ in last], count, now)
    stored = stored.rename({"ts": "timestamp"}).drop("amount")
    days = pl.concat(
        [
            next_days(symbol, stamp, stored.filter(symbol=symbol).drop("symbol"), instant(now))
            for symbol, stamp, _ in last
        ]
    )
    if days.height:
        load_candles(connection, days, "1d")
    return days.height


def _last(connection: psycopg.Connection[Any], timeframe: str, now: datetime) -> list[tuple[str, Any, float]]:
    """Return the symbol, timestamp and close of each symbol's newest candle."""
    newest = last_candles(connection, timeframe, list(CHARACTERS), 1, now)
    return [
        (symbol, instant(stamp), close)
        for symbol, stamp, close in newest.select("symbol", "ts", "close").rows()
    ]


if __name__ == "__main__":
    sys.exit(main())
