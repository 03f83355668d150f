"""The generated market: candles in their instruments' sessions, the same for the same seed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows.events import EventRequest, Leaders, build_event_arrays, load_config
from flows.files import feeds
from flows.generated.market import CHARACTERS, END, Market, generate_market
from market.instruments import default_instruments
from market.time_grid import candle_bounds, future_timestamps
from market.warning_codes import code_of


@pytest.fixture(scope="module")
def market() -> Market:
    return generate_market(days=80, hours=300)


def times(candles: pl.DataFrame, symbol: str) -> np.ndarray:
    stamps = candles.filter(pl.col("symbol") == symbol)["timestamp"]
    return stamps.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")


def test_has_25_known_symbols(market: Market) -> None:
    assert len(CHARACTERS) == 25
    assert set(CHARACTERS) <= set(default_instruments())
    assert market.candles_1h["symbol"].unique().sort().to_list() == sorted(CHARACTERS)
    assert market.candles_1d["symbol"].unique().sort().to_list() == sorted(CHARACTERS)


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.parametrize("symbol", sorted(CHARACTERS))
def test_candles_follow_the_calendar_without_a_gap(market: Market, symbol: str, timeframe: str) -> None:
    stamps = times(market.candles_1h if timeframe == "1h" else market.candles_1d, symbol)
    instrument = default_instruments()[symbol]
    expected = future_timestamps(instrument, timeframe, stamps[0], len(stamps) - 1)
    np.testing.assert_array_equal(stamps[1:], expected)
    closes = candle_bounds(instrument, timeframe, stamps)[1]
    assert closes[-1] <= np.datetime64(END.replace(tzinfo=None))


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_every_candle_is_consistent(market: Market, timeframe: str) -> None:
    candles = market.candles_1h if timeframe == "1h" else market.candles_1d
    outside = (
        (pl.col("high") < pl.max_horizontal("open", "close"))
        | (pl.col("low") > pl.min_horizontal("open", "close"))
        | (pl.col("low") <= 0)
        | (pl.col("volume") < 0)
    )
    assert candles.filter(outside).is_empty()
    assert candles.null_count().sum_horizontal().item() == 0


def test_days_gather_their_hours(market: Market) -> None:
    day = market.candles_1d.filter(pl.col("symbol") == "SPY").tail(1)
    date = day["timestamp"].item()
    hours = market.candles_1h.filter(
        (pl.col("symbol") == "SPY") & pl.col("timestamp").is_between(date, date + timedelta(days=1))
    )
    assert day["high"].item() == hours["high"].max()
    assert day["low"].item() == hours["low"].min()
    assert day["open"].item() == hours["open"][0]
    assert day["close"].item() == hours["close"][-1]
    assert day["volume"].item() == hours["volume"].sum()


def test_prices_stay_near_the_first_one(market: Market) -> None:
    for symbol, character in CHARACTERS.items():
        closes = market.candles_1d.filter(pl.col("symbol") == symbol)["close"]
        assert closes.is_between(character.price / 4, character.price * 4).all(), symbol


def test_the_seed_decides(market: Market) -> None:
    again = generate_market(days=80, hours=300)
    assert again.candles_1h.equals(market.candles_1h)
    assert again.calendar.equals(market.calendar)
    assert not generate_market(seed=8, days=80, hours=300).candles_1h.equals(market.candles_1h)


def test_writes_the_files_that_the_loader_reads(market: Market, tmp_path: Path) -> None:
    market.write(tmp_path / "new" / "folder")
    assert pl.read_parquet(tmp_path / "new" / "folder" / "candles_1d.parquet").equals(market.candles_1d)
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == {
        "candles_1h.parquet",
        "candles_1d.parquet",
        "economic_calendar.parquet",
    }


def test_ends_before_decisions_by_default(market: Market) -> None:
    ahead = market.calendar.filter(pl.col("event_time").is_between(END, END + timedelta(hours=24)))
    assert ahead["title"].to_list() == ["Federal Funds Rate", "SNB Policy Rate", "Official Bank Rate"]
    assert ahead["event_type"].to_list() == ["fomc", "rate_decision", "rate_decision"]


def test_only_high_impact_dollar_releases_widen_the_candles(market: Market) -> None:
    hourly = market.candles_1h.filter(symbol="EURUSD").with_columns(
        width=(pl.col("high") / pl.col("low")).log(), hour=pl.col("timestamp")
    )
    wide = pl.col("currency") == "USD", pl.col("impact") == "high"
    hours = market.calendar.filter(*wide)["event_time"].dt.truncate("1h")
    others = market.calendar.filter(~(wide[0] & wide[1]))["event_time"].dt.truncate("1h")
    at_release = hourly.filter(pl.col("hour").is_in(hours.implode()))["width"].median()
    elsewhere = hourly.filter(pl.col("hour").is_in(others.implode()))["width"].median()
    assert isinstance(at_release, float)
    assert isinstance(elsewhere, float)
    assert at_release > 2 * elsewhere


def test_the_calendar_lacks_no_tracked_release(market: Market) -> None:
    end = np.datetime64(END.replace(tzinfo=None), "us")
    instrument = default_instruments()["EURUSD"]
    stamps = times(market.candles_1h, "EURUSD")
    future = future_timestamps(instrument, "1h", stamps[-1], 24)
    request = EventRequest("EURUSD", instrument, "1h", stamps, future, end)
    leaders = Leaders({"1h": market.candles_1h.rename({"timestamp": "ts"})})
    results = build_event_arrays([request], feeds.calendar(market.calendar), leaders, load_config())
    codes = {code_of(text) for text in results["EURUSD"].warnings}
    assert not codes & {"missing-releases", "calendar-ends"}


def test_ends_at_the_instant_of_the_argument() -> None:
    end = datetime(2024, 3, 12, 17, 30, tzinfo=UTC)
    market = generate_market(end=end, days=40, hours=50)
    assert times(market.candles_1h, "EURUSD")[-1] == np.datetime64("2024-03-12T16:00")
    assert times(market.candles_1d, "SPY")[-1] == np.datetime64("2024-03-11")
