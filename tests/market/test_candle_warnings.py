"""Unusual candles have warnings, and ordinary ones have none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from market.candle_warnings import UsedCandles, candle_warnings, candles_behind
from market.feed_grid import feed_grid
from market.instruments import Instrument, default_instruments
from market.time_grid import future_timestamps, past_timestamps, published_until
from market.warning_codes import code_of

KNOWN = default_instruments()
HOUR = np.timedelta64(3_600_000_000, "us")
END = np.datetime64("2026-06-05T12:30", "us")


def used(symbol: str = "BTC-USD", timeframe: str = "1h", count: int = 200, **changes: Any) -> UsedCandles:
    """Sound candles on a symbol's calendar, with 24 that follow."""
    instrument = KNOWN.get(symbol, Instrument(symbol, "equity", "XSHG"))
    stamps = past_timestamps(instrument, timeframe, END, count)
    closes = 100 + np.random.default_rng(count).normal(0, 0.3, count).cumsum()
    features = np.column_stack([closes - 0.1, closes + 1, closes - 1, closes, np.ones(count), closes])
    future = future_timestamps(instrument, timeframe, stamps[-1], 24)
    return replace(UsedCandles(symbol, timeframe, features, stamps, future, instrument), **changes)


def at(row: int, column: int, value: float, **changes: Any) -> UsedCandles:
    candles = used(**changes)
    candles.features[row, column] = value
    return candles


def without(rows: slice, **changes: Any) -> UsedCandles:
    candles = used(**changes)
    kept = np.delete(np.arange(len(candles.timestamps)), rows)
    return replace(candles, features=candles.features[kept], timestamps=candles.timestamps[kept])


def only(warnings: list[str]) -> str:
    assert len(warnings) == 1, warnings
    return warnings[0]


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.parametrize("symbol", ["BTC-USD", "EURUSD", "XAUUSD", "SPY", "VIX", "GOLD", "DXY", "600977.SH"])
@pytest.mark.parametrize("known", [True, False])
def test_ordinary_candles_have_no_warning(symbol: str, timeframe: str, known: bool) -> None:
    candles = used(symbol, timeframe)
    assert candle_warnings(candles if known else replace(candles, instrument=None), END) == []


@pytest.mark.parametrize(
    ("candles", "expected"),
    [
        (at(50, 2, 0.0), "nonpositive-prices: a price is zero or below in 1 of 200 candles (the"),
        (at(50, 2, -1.0), "nonpositive-prices: a price is zero or below in 1 of 200 candles"),
        (at(50, 1, 2.0), "impossible-candles: high is below another price in 1 of 200 candles (the first"),
        (at(50, 4, -5.0), "impossible-candles: volume is negative in 1 of 200 candles"),
        (at(50, 4, np.nan), "volume-unknown: volume of 1 of 200 candles (the first at 2026-05-30T07:00Z)"),
        (at(50, 5, np.nan), "volume-unknown: amount of 1 of 200 candles"),
        (without(slice(90, 120)), "missing-candles: 30 1h candles are missing among the 170 used, most of "
         "them, 30 in a row, after 2026-05-31T22:00Z"),
        (without(slice(90, 91)), "missing-candles: 1 1h candles are missing"),
        (without(slice(90, 120), symbol="SPY"), "missing-candles: 30 1h candles are missing"),
        (without(slice(90, 97), symbol="SPY", timeframe="1d"), "missing-candles: 7 1d candles are missing"),
    ],
)  # fmt: skip
def test_unusual_candles_are_warned_of_with_their_time(candles: UsedCandles, expected: str) -> None:
    assert only(candle_warnings(candles)).startswith(expected)


@pytest.mark.parametrize("size", [1, 5, 20])
def test_a_holiday_that_the_calendar_lacks_is_no_hole(size: int) -> None:
    assert candle_warnings(without(slice(90, 90 + size), symbol="XAUUSD", count=400)) == []


def test_an_instrument_that_may_have_such_prices() -> None:
    oil = Instrument("WTI", "commodity", "FX:XNYS", allow_nonpositive=True)
    candles = used("WTI", instrument=oil)
    candles.features[100:, :4] -= 150
    assert candle_warnings(candles) == []
    unknown = replace(candles, instrument=None)
    assert code_of(candle_warnings(unknown)[0]) == "nonpositive-prices"
    assert candle_warnings(replace(unknown, allow_nonpositive=True)) == []


@pytest.mark.parametrize("column", [slice(4, 6), slice(5, 6)])
def test_a_column_that_is_wholly_unknown_is_an_ordinary_feed(column: slice) -> None:
    candles = used()
    candles.features[:, column] = np.nan
    assert candle_warnings(candles) == []


def test_a_split_is_named_with_time_and_ratio() -> None:
    candles = used("SPY", "1d", 400)
    candles.features[300:, :4] /= 2
    before, after = (str(candles.timestamps[row])[:16] for row in (299, 300))
    assert only(candle_warnings(candles)).startswith(
        f"split: the step from {before}Z to {after}Z looks like a 2:1 split that the candles before"
    )


def test_a_jump_to_the_future() -> None:
    candles = used()
    later = replace(candles, future=candles.future + 365 * 24 * HOUR)
    last = str(candles.timestamps[-1])[:16]
    expected = f"jump-to-future: 8760 1h candles lie between the last one used ({last}Z) "
    assert only(candle_warnings(later)).startswith(expected)
    unknown = only(candle_warnings(replace(later, instrument=None)))
    assert unknown.startswith("jump-to-future: the first future timestamp")
    assert "365.0 days after the last candle" in unknown


def test_a_hole_of_a_symbol_that_is_not_registered() -> None:
    candles = replace(without(slice(20, 400), count=420), instrument=None)
    expected = (
        f"missing-candles: no candle follows the one of {str(candles.timestamps[19])[:16]}Z for 15.9 days"
    )
    assert only(candle_warnings(candles)) == expected


def test_another_spacing_is_warned_of() -> None:
    candles = used()
    minutes = np.timedelta64(60_000_000, "us")
    stamps = END + np.arange(224) * 15 * minutes
    own = replace(candles, timestamps=stamps[:200], future=stamps[200:])
    assert only(candle_warnings(own)).startswith(
        "timeframe-not-used: the candles are 15 minutes apart, timeframe 1h was not used"
    )
    hurried = replace(candles, future=candles.timestamps[-1] + np.arange(1, 25) * 15 * minutes)
    assert only(candle_warnings(hurried)).startswith("future-spacing: future_timestamps are 15 minutes apart")


def test_daily_candles_within_the_day() -> None:
    candles = used("SPY", "1d")
    stamped = replace(candles, timestamps=candles.timestamps + 4 * HOUR)
    assert code_of(only(candle_warnings(stamped))) == "daily-stamps"


@pytest.mark.parametrize(("hours", "stale"), [(24, False), (25, True), (2000, True)])
def test_stored_candles_that_ended_long_ago(hours: int, stale: bool) -> None:
    candles = used()
    until = candles.timestamps[-1] + (hours + 1) * HOUR
    warnings = candle_warnings(candles, until)
    assert bool(warnings) is stale
    if stale:
        assert only(warnings).startswith("stale-candles: the newest candle is of ")
        assert f"and {hours} later ones had closed" in warnings[0]
    assert candle_warnings(candles) == []


def test_holidays_that_are_not_published() -> None:
    shanghai = Instrument("600977.SH", "equity", "XSHG")
    published = published_until(shanghai)
    assert published is not None
    stamps = past_timestamps(shanghai, "1d", published - np.timedelta64(30, "D"), 200)
    future = future_timestamps(shanghai, "1d", stamps[-1], 60)
    candles = replace(used("600977.SH", "1d"), timestamps=stamps, future=future[:5])
    assert candle_warnings(candles) == []
    warnings = only(candle_warnings(replace(candles, future=future)))
    assert warnings.startswith("holidays-unpublished: the holidays of XSHG are known until 20")


def test_times_that_the_calendar_does_not_cover_have_no_warning() -> None:
    candles = used()
    early = replace(candles, timestamps=candles.timestamps - 24 * 365 * 60 * HOUR)
    assert isinstance(candle_warnings(early, END), list)


@pytest.mark.parametrize("symbol", ["BTC-USD", "SPY"])
def test_closed_candles_that_are_missing_are_counted(symbol: str) -> None:
    candles = used(symbol)
    grid = feed_grid(KNOWN[symbol], "1h", candles.timestamps)
    for missing in (0, 1, 7, 40):
        last = candles.timestamps[-1 - missing]
        assert candles_behind(KNOWN[symbol], grid, last, candles.timestamps[-1] + HOUR) == missing


# Windows of 512 real candles with a warning, of those looked at. Each holds an outage of the feed: April 2022
# (ETH), October 2020 to January 2022 and the thin feed of 2023 (EURUSD), March 2022 to 2024 (GBPUSD, USDJPY,
# XAUUSD), 27 hours around January 19, 2015 (XAUUSD), and days missing by the dozen (GOLD, BRENT).
REAL = {
    ("1h", "ETH-USD"): 2, ("1h", "EURUSD"): 9, ("1h", "GBPUSD"): 2, ("1h", "USDJPY"): 2, ("1h", "XAUUSD"): 4,
    ("1d", "BRENT"): 7, ("1d", "GOLD"): 16,
}  # fmt: skip


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_real_candles_are_warned_of_where_their_feeds_have_holes(market_data: Path, timeframe: str) -> None:
    frame = pl.read_parquet(market_data / f"candles_{timeframe}.parquet").sort("symbol", "timestamp")
    columns = ["open", "high", "low", "close", "volume"]
    for (name,), part in frame.group_by("symbol", maintain_order=True):
        symbol = str(name)
        stamps = part["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
        values = part.select(columns).cast(pl.Float64).to_numpy()
        features = np.column_stack([values, np.full(len(values), np.nan)])
        windows_with_warnings = 0
        for end in range(512, len(stamps), 291 if timeframe == "1h" else 82):
            seen = slice(end - 512, end)
            future = feed_grid(KNOWN[symbol], timeframe, stamps[seen]).after(stamps[end - 1], 24)
            candles = UsedCandles(symbol, timeframe, features[seen], stamps[seen], future, KNOWN[symbol])
            warnings = candle_warnings(candles)
            assert {code_of(text) for text in warnings} <= {"missing-candles"}, (symbol, warnings)
            windows_with_warnings += bool(warnings)
        assert windows_with_warnings <= REAL.get((timeframe, symbol), 0), (symbol, windows_with_warnings)
