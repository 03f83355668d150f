"""Candles of a run: read in one query, cut to what had closed, whole or refused by name."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import psycopg
import pytest

from flows.forecasting.candles import (
    Windows,
    closed_windows,
    epoch_ms,
    read_candles,
)
from flows.runtime.table_columns import CANDLES
from market.closed_candles import STILL_OPEN
from market.instruments import Instrument, default_instruments
from market.time_grid import past_timestamps

INSTRUMENTS = default_instruments()
NOON = datetime(2024, 12, 18, 12, tzinfo=UTC)


def frame(symbol: str, timeframe: str, before: datetime, count: int, **columns: Any) -> pl.DataFrame:
    """Candles on the symbol's calendar, the last one beginning before an instant; close counts from 1."""
    end = np.datetime64(before.replace(tzinfo=None), "us")
    closes = np.arange(1.0, count + 1)
    values = {
        "symbol": [symbol] * count,
        "ts": past_timestamps(INSTRUMENTS[symbol], timeframe, end, count),
        "open": closes,
        "high": closes,
        "low": closes,
        "close": closes,
        "volume": closes,
        "amount": [None] * count,
        **columns,
    }
    return (
        pl.DataFrame(values).with_columns(pl.col("ts").dt.replace_time_zone("UTC")).cast(pl.Schema(CANDLES))
    )


def cut(
    candles: pl.DataFrame,
    symbols: Sequence[str] | dict[str, Instrument],
    timeframe: str = "1h",
    as_of: datetime = NOON,
    lookback: int = 40,
    stale_after: int | None = None,
) -> Windows:
    instruments = symbols if isinstance(symbols, dict) else {name: INSTRUMENTS[name] for name in symbols}
    return closed_windows(
        candles,
        instruments,
        timeframe,
        as_of,
        lookback=lookback,
        pred_len=5,
        min_candles=32,
        stale_after=stale_after,
    )


def test_reads_the_last_candles_of_all_symbols(database: psycopg.Connection[Any]) -> None:
    candles = pl.concat(frame(name, "1h", NOON, 50) for name in ("EURUSD", "BTC-USD"))
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO ohlcv_1h (symbol, ts, open, high, low, close, volume, amount) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            candles.rows(),
        )
    read = read_candles(database, "1h", ["EURUSD", "BTC-USD", "SPY"], 30, NOON)
    last = candles.group_by("symbol", maintain_order=True).tail(30 + STILL_OPEN)
    assert read.equals(last.sort("symbol", "ts"))
    assert read_candles(database, "1d", ["SPY"], 30, NOON).schema == pl.Schema(CANDLES)


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "last"),
    [
        ("EURUSD", "1h", "2024-12-18T12:00", "2024-12-18T11:00"),  # closed at this very instant
        ("EURUSD", "1h", "2024-12-18T11:59:59", "2024-12-18T10:00"),
        ("SPY", "1h", "2024-12-17T21:00", "2024-12-17T20:30"),  # the last hour has 30 minutes
        ("SPY", "1d", "2024-12-18T20:59", "2024-12-17"),
        ("SPY", "1d", "2024-12-18T21:00", "2024-12-18"),
        ("EURUSD", "1d", "2024-12-18T21:59", "2024-12-17"),  # a day of FX ends at 17:00 New York
        ("EURUSD", "1d", "2024-12-18T22:00", "2024-12-18"),
        ("BTC-USD", "1d", "2024-12-18T23:59", "2024-12-17"),
    ],
)
def test_only_closed_candles_are_used(symbol: str, timeframe: str, as_of: str, last: str) -> None:
    instant = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    candles = frame(symbol, timeframe, instant, 40 + STILL_OPEN)
    windows, reasons, _ = cut(candles, [symbol], timeframe, instant)
    assert reasons == {}
    window = windows[symbol]
    assert len(window.timestamps) == 40
    assert window.timestamps[-1] == np.datetime64(last)
    assert window.as_of == datetime.fromisoformat(last).replace(tzinfo=UTC)
    assert window.future_timestamps[0] > window.timestamps[-1]
    assert len(window.future_timestamps) == 5


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "late"),
    [
        ("BTC-USD", "1h", "2024-12-18T12:59", False),
        ("BTC-USD", "1h", "2024-12-18T13:00", True),
        ("SPY", "1d", "2024-12-23T14:00", True),  # Friday's session is missing
        ("SPY", "1h", "2024-12-18T15:29", False),  # its next session has opened, and no hour of it has closed
    ],
)
def test_a_window_is_late_once_a_newer_candle_has_closed(
    symbol: str, timeframe: str, as_of: str, late: bool
) -> None:
    instant = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    windows, _, _ = cut(frame(symbol, timeframe, NOON, 40), [symbol], timeframe, instant)
    assert windows[symbol].late is late


def test_the_window_is_the_last_lookback() -> None:
    windows, _, _ = cut(frame("BTC-USD", "1h", NOON, 60), ["BTC-USD"], lookback=33)
    assert windows["BTC-USD"].columns["close"].tolist() == list(np.arange(28.0, 61.0))
    assert windows["BTC-USD"].last_close == 60.0


def test_fewer_than_asked_is_used_and_too_few_is_refused_by_name() -> None:
    candles = pl.concat([frame("BTC-USD", "1h", NOON, 32), frame("ETH-USD", "1h", NOON, 31)])
    windows, reasons, _ = cut(candles, ["BTC-USD", "ETH-USD", "SPY"])
    assert set(windows) == {"BTC-USD"}
    assert "31 1h candles had closed" in reasons["ETH-USD"]
    assert "at least 32" in reasons["ETH-USD"]
    assert "no 1h candles" in reasons["SPY"]


def test_an_unknown_calendar_fails_its_symbol_alone() -> None:
    candles = pl.concat([frame("BTC-USD", "1h", NOON, 40), frame("ETH-USD", "1h", NOON, 40)])
    strange = Instrument("ETH-USD", "crypto", "MOON")
    windows, reasons, _ = cut(candles, {"BTC-USD": INSTRUMENTS["BTC-USD"], "ETH-USD": strange})
    assert set(windows) == {"BTC-USD"}
    assert "MOON" in reasons["ETH-USD"]


@pytest.mark.parametrize("hole", [None, float("nan"), float("inf")])
def test_an_unknown_volume_or_amount_travels_as_null(hole: float | None) -> None:
    volume, amount = [1.0] * 39 + [hole], [hole] + [2.0] * 39
    windows, _, _ = cut(frame("BTC-USD", "1h", NOON, 40, volume=volume, amount=amount), ["BTC-USD"])
    candles = windows["BTC-USD"].request_candles()
    assert candles.volume == [1.0] * 39 + [None]
    assert candles.amount == [None] + [2.0] * 39


def test_columns_that_a_feed_does_not_have_are_left_out() -> None:
    nothing: list[float | None] = [None] * 40
    windows, _, _ = cut(frame("BTC-USD", "1h", NOON, 40, volume=nothing, amount=[2.0] * 40), ["BTC-USD"])
    assert list(windows["BTC-USD"].columns) == ["open", "high", "low", "close"]
    windows, _, _ = cut(frame("BTC-USD", "1h", NOON, 40), ["BTC-USD"])
    assert list(windows["BTC-USD"].columns) == ["open", "high", "low", "close", "volume"]


@pytest.mark.parametrize("hole", [float("nan"), float("-inf")])
def test_a_price_that_is_no_number_is_refused_with_its_time(hole: float) -> None:
    low = [1.0] * 39 + [hole]
    windows, reasons, _ = cut(frame("BTC-USD", "1h", NOON, 40, low=low), ["BTC-USD"])
    assert windows == {}
    assert reasons["BTC-USD"].startswith("low is not a number at 2024-12-18 11:00 UTC")


def test_the_request_carries_the_window() -> None:
    windows, _, _ = cut(frame("BTC-USD", "1h", NOON, 40), ["BTC-USD"])
    candles = windows["BTC-USD"].request_candles()
    last = int((NOON - timedelta(hours=1)).timestamp() * 1000)
    assert candles.timestamp[-1] == last
    assert candles.close == list(np.arange(1.0, 41.0))
    assert candles.volume == candles.close
    assert candles.amount is None
    assert epoch_ms(np.array(["1970-01-01T00:00:00.001"], dtype="datetime64[us]")) == [1]


@pytest.mark.parametrize(
    ("minutes", "said", "hint"),
    [(3, "3 minutes", ""), (15, "15 minutes", " (did you mean timeframe 15m?)"), (480, "8 hours", "")],
)
def test_candles_of_another_timeframe_are_refused_by_name(minutes: int, said: str, hint: str) -> None:
    start = NOON - timedelta(minutes=minutes * 40)
    stamps = [start + timedelta(minutes=minutes * row) for row in range(40)]
    windows, unusable, _ = cut(frame("BTC-USD", "1h", NOON, 40, ts=stamps), ["BTC-USD"])
    assert windows == {}
    assert unusable["BTC-USD"] == f"candles of BTC-USD are {said} apart, timeframe is 1h{hint}"


def test_hourly_candles_in_the_daily_table_are_recognised() -> None:
    _, unusable, _ = cut(frame("BTC-USD", "1h", NOON, 40), ["BTC-USD"], "1d")
    assert unusable["BTC-USD"] == (
        "candles of BTC-USD are 1 hour apart, timeframe is 1d (did you mean timeframe 1h?)"
    )


def on_the_clock(count: int) -> pl.DataFrame:
    """Hours of SPY stamped at 14:00 … 20:00 UTC, where its sessions begin at 14:30."""
    half = frame("SPY", "1h", NOON, count)
    return half.with_columns(pl.col("ts").dt.offset_by("-30m"))


def test_candles_on_the_clock_hour_go_on_there_and_are_not_late() -> None:
    after_the_close = datetime(2024, 12, 17, 21, 5, tzinfo=UTC)
    window = cut(on_the_clock(70), ["SPY"], as_of=after_the_close, lookback=70).windows["SPY"]
    assert window.timestamps[-1] == np.datetime64("2024-12-17T20:00")
    assert not window.late
    expected = np.datetime64("2024-12-18T14:00") + np.arange(5) * np.timedelta64(1, "h")
    np.testing.assert_array_equal(window.future_timestamps, expected)
    assert cut(on_the_clock(70), ["SPY"], as_of=datetime(2024, 12, 18, 15, tzinfo=UTC)).windows["SPY"].late


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "behind"),
    [
        ("BTC-USD", "1h", "2024-12-19T12:00", 24),
        ("BTC-USD", "1h", "2024-12-19T13:00", 25),
        ("SPY", "1h", "2024-12-23T12:00", 21),  # three sessions, and a weekend that counts for nothing
        ("SPY", "1h", "2024-12-23T21:00", 28),
        ("SPY", "1d", "2024-12-25T14:00", 5),  # from Wednesday, December 18, on
        ("SPY", "1d", "2025-06-02", 111),
    ],
)
def test_a_symbol_that_is_far_behind_its_calendar_is_stale(
    symbol: str, timeframe: str, as_of: str, behind: int
) -> None:
    instant = datetime.fromisoformat(as_of).replace(tzinfo=UTC)
    candles = (
        frame(symbol, timeframe, NOON.replace(hour=0), 40)
        if timeframe == "1d"
        else frame(symbol, timeframe, NOON, 40)
    )
    windows, unusable, stale = cut(candles, [symbol], timeframe, instant)
    assert unusable == {}
    most = {"1h": 24, "1d": 5}[timeframe]
    assert (symbol in stale) == (behind > most)
    if stale:
        assert f", {behind} later ones had closed by {as_of[:10]}" in stale[symbol]
        assert stale[symbol].endswith(f"at most {most} may have")
    else:
        assert windows[symbol].late
    assert symbol in cut(candles, [symbol], timeframe, instant, stale_after=behind).windows
    assert symbol in cut(candles, [symbol], timeframe, instant, stale_after=behind - 1).stale


def test_a_window_begins_after_a_hole() -> None:
    whole = frame("BTC-USD", "1h", NOON, 200)
    holed = pl.concat([whole.head(100), whole.tail(60)])
    window = cut(holed, ["BTC-USD"], lookback=150).windows["BTC-USD"]
    assert len(window.timestamps) == 60
    (said,) = window.warnings
    assert said.startswith("shorter-history: 90 of 150 candles are left out: they lie before a hole of 40 ")
    short = pl.concat([whole.head(100), whole.tail(20)])
    assert "20 1h candles follow the last hole" in cut(short, ["BTC-USD"], lookback=150).unusable["BTC-USD"]
    small = pl.concat([whole.head(100), whole.tail(76)])
    assert len(cut(small, ["BTC-USD"], lookback=150).windows["BTC-USD"].timestamps) == 150
