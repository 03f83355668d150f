"""Candles that a timeframe's table lacks, aggregated from a finer one in a real Postgres."""

from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest

from flows.forecasting.late_candles import newest_candles
from flows.runtime.aggregated_candles import aggregated_between, first_finer_candles
from flows.runtime.candle_columns import last_candles, last_times, stored_candles, symbols_with_candles
from market.instruments import default_instruments
from market.time_grid import past_timestamps
from market.times import awares, instant

NOW = datetime(2024, 6, 13, 18, tzinfo=UTC)
HOUR = timedelta(hours=1)


def add(database: psycopg.Connection, symbol: str, timeframe: str, count: int, price: float = 100.0) -> None:
    """Candles on the calendar of a symbol that had begun by `NOW`; each is one higher than the one before."""
    stamps = past_timestamps(default_instruments()[symbol], timeframe, instant(NOW), count)
    rows = [
        (symbol, ts, price + row, price + row + 2, price + row - 2, price + row + 1, 10.0, None)
        for row, ts in enumerate(awares(stamps))
    ]
    with database.cursor() as cursor:
        cursor.executemany(f"INSERT INTO ohlcv_{timeframe} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)


@pytest.fixture
def stored(database: psycopg.Connection) -> psycopg.Connection:
    add(database, "BTC-USD", "1h", 100)
    add(database, "BTC-USD", "5m", 100, 500.0)
    add(database, "SPY", "30m", 60)
    add(database, "EURUSD", "4h", 20)
    return database


def test_each_symbol_has_its_own_candles_or_those_of_the_coarsest_finer_timeframe(
    stored: psycopg.Connection,
) -> None:
    symbols = ["SPY", "EURUSD", "BTC-USD", "GBPUSD"]
    frame = last_candles(stored, "4h", symbols, 5, NOW)
    assert frame.group_by("symbol", maintain_order=True).len().rows() == [
        ("BTC-USD", 5),
        ("EURUSD", 5),
        ("SPY", 5),
    ]
    bitcoin = frame.filter(symbol="BTC-USD")
    assert bitcoin["ts"][-1] == datetime(2024, 6, 13, 12, tzinfo=UTC)  # that from 16:00 is open
    # Four candles of an hour, not those of five minutes.
    row = bitcoin.row(-1, named=True)
    hours = stored_candles(stored, "1h", ["BTC-USD"], 6, NOW).head(4)
    assert (row["open"], row["close"]) == (hours["open"][0], hours["close"][3])
    assert (row["high"], row["low"]) == (hours["high"].max(), hours["low"].min())
    assert (row["volume"], row["amount"]) == (40.0, None)
    # The share's last session has half an hour more than four; that of today is open.
    share = frame.filter(symbol="SPY")["ts"].to_list()
    assert share[-2:] == [
        datetime(2024, 6, 12, 17, 30, tzinfo=UTC),
        datetime(2024, 6, 13, 13, 30, tzinfo=UTC),
    ]
    times = last_times(stored, "4h", symbols, 5, NOW)
    assert {symbol: awares(stamps) for symbol, stamps in times.items()} == {
        symbol: part["ts"].to_list() for (symbol,), part in frame.partition_by("symbol", as_dict=True).items()
    }
    assert newest_candles(stored, "4h", symbols, NOW) == {
        symbol: part["ts"][-1] for (symbol,), part in frame.partition_by("symbol", as_dict=True).items()
    }


def test_own_candles_are_read_as_they_are(stored: psycopg.Connection) -> None:
    frame = last_candles(stored, "4h", ["EURUSD"], 5, NOW)
    assert frame.equals(stored_candles(stored, "4h", ["EURUSD"], 5, NOW))
    assert symbols_with_candles(stored, "4h", ["EURUSD", "SPY"]) == {"EURUSD"}


def test_what_has_no_finer_candles_has_none(stored: psycopg.Connection) -> None:
    assert last_candles(stored, "1m", ["BTC-USD"], 5, NOW).is_empty()
    assert last_candles(stored, "15m", ["SPY", "EURUSD"], 5, NOW).is_empty()


def test_the_timeframe_to_aggregate_from_and_the_anchor_are_the_instruments(
    stored: psycopg.Connection,
) -> None:
    stored.execute(
        "INSERT INTO instruments (symbol, asset_class, calendar, aggregate_from, anchor) "
        "VALUES ('BTC-USD', 'crypto', '24/7', '5m', '01:00 UTC')"
    )
    frame = last_candles(stored, "2h", ["BTC-USD"], 3, NOW)
    assert [ts.hour for ts in frame["ts"]] == [11, 13, 15]
    assert frame["open"].min() > 500  # type: ignore[operator]
    assert frame["volume"].to_list() == [240.0] * 3


def test_an_earlier_instant_sees_no_later_candle(stored: psycopg.Connection) -> None:
    for hours in range(1, 30):
        before = NOW - hours * HOUR
        frame = last_candles(stored, "4h", ["BTC-USD"], 3, before)
        end = frame["ts"][-1] + 4 * HOUR
        assert before - 4 * HOUR < end <= before


def test_the_times_of_a_range(stored: psycopg.Connection) -> None:
    first, last = datetime(2024, 6, 11, tzinfo=UTC), datetime(2024, 6, 12, 8, tzinfo=UTC)
    found = aggregated_between(stored, "4h", ["BTC-USD", "GBPUSD"], first, last)
    expected = np.arange("2024-06-11T00", "2024-06-12T12", 4, dtype="datetime64[h]").astype("datetime64[us]")
    assert list(found) == ["BTC-USD"]
    np.testing.assert_array_equal(found["BTC-USD"], expected)
    begins = stored_candles(stored, "1h", ["BTC-USD"], 1000, NOW)["ts"].min()
    assert first_finer_candles(stored, "4h", ["BTC-USD", "GBPUSD"]) == {"BTC-USD": begins}


def test_weeks_end_with_their_last_session(database: psycopg.Connection) -> None:
    add(database, "SPY", "1d", 30)
    friday = datetime(2024, 6, 7, 19, 59, tzinfo=UTC)
    weeks = last_candles(database, "1w", ["SPY"], 3, friday)
    assert weeks["ts"].to_list()[-1] == datetime(
        2024, 5, 27, tzinfo=UTC
    )  # that of the last Friday is read, but open
    closed = last_candles(database, "1w", ["SPY"], 3, NOW)
    assert closed["ts"].to_list()[-2:] == [
        datetime(2024, 5, 27, tzinfo=UTC),
        datetime(2024, 6, 3, tzinfo=UTC),
    ]
    assert closed["volume"].to_list()[-2:] == [40.0, 50.0]  # Memorial Day
