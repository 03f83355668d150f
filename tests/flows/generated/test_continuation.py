"""A generated market that goes on: in session, the same whenever it is continued, with figures that stay."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from flows.generated.continuation import current_releases, next_days, next_hours
from flows.generated.market import CHARACTERS, SEED, generate_market, widening_releases
from market.instruments import default_instruments
from market.time_grid import closed_by, future_timestamps

NOW = datetime(2026, 3, 18, 12, tzinfo=UTC)
LAST = np.datetime64("2026-03-18T11:00", "us")
RELEASES = widening_releases(current_releases(NOW))


def hours(symbol: str, until: str, last: np.datetime64 = LAST, close: float | None = None) -> pl.DataFrame:
    start = CHARACTERS[symbol].price if close is None else close
    return next_hours(symbol, last, start, np.datetime64(until, "us"), RELEASES)


def times(frame: pl.DataFrame) -> np.ndarray:
    return frame["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")


@pytest.mark.parametrize("symbol", sorted(CHARACTERS))
def test_every_candle_that_has_closed_follows_and_is_consistent(symbol: str) -> None:
    found = hours(symbol, "2026-03-27T09:30")
    instrument = default_instruments()[symbol]
    expected = future_timestamps(instrument, "1h", LAST, 24 * 9)
    expected = expected[closed_by(instrument, "1h", expected, np.datetime64("2026-03-27T09:30", "us"))]
    np.testing.assert_array_equal(times(found), expected)
    low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    assert found.filter((pl.col("high") < high) | (pl.col("low") > low) | (pl.col("low") <= 0)).is_empty()
    assert found["close"].is_between(CHARACTERS[symbol].price / 3, CHARACTERS[symbol].price * 3).all()


@pytest.mark.parametrize("symbol", ["EURUSD", "VIX"])
def test_hour_by_hour_gives_the_candles_of_one_go_but_for_the_rounding(symbol: str) -> None:
    whole = hours(symbol, "2026-03-20T12:00")
    parts, last, close = [], LAST, CHARACTERS[symbol].price
    for hour in range(13, 13 + 48):
        part = hours(symbol, str(np.datetime64("2026-03-18T00:00") + np.timedelta64(hour, "h")), last, close)
        if part.height:
            parts.append(part)
            last, close = times(part)[-1], part["close"][-1]
    joined = pl.concat(parts)
    assert joined["timestamp"].equals(whole["timestamp"])
    np.testing.assert_allclose(joined["close"], whole["close"], rtol=1e-2)


def test_nothing_follows_before_the_next_candle_has_closed() -> None:
    assert hours("BTC-USD", "2026-03-18T12:59").is_empty()
    assert hours("BTC-USD", "2026-03-18T13:00").height == 1


def test_the_seed_decides() -> None:
    until = np.datetime64("2026-03-19T12:00", "us")
    one, other = (next_hours("BTC-USD", LAST, 1e5, until, RELEASES, seed) for seed in (SEED, SEED + 1))
    assert hours("BTC-USD", "2026-03-19T12:00", close=1e5).equals(one)
    assert not one.equals(other)


def test_symbols_move_together_as_their_characters_say() -> None:
    changes = {
        symbol: np.diff(np.log(hours(symbol, "2026-06-18T12:00").filter(symbol=symbol)["close"].to_numpy()))
        for symbol in ("SPY", "QQQ")
    }
    assert np.corrcoef(changes["SPY"], changes["QQQ"])[0, 1] > 0.5


def test_days_gather_the_hours_and_wait_for_the_end_of_the_day() -> None:
    found = hours("EURUSD", "2026-03-20T12:00", np.datetime64("2026-03-17T20:00", "us"))
    days = next_days(
        "EURUSD", np.datetime64("2026-03-17", "us"), found.drop("symbol"), np.datetime64("2026-03-20T12:00")
    )
    assert [stamp.day for stamp in days["timestamp"]] == [18, 19]
    of_day = found.filter(
        pl.col("timestamp").is_between(
            datetime(2026, 3, 18, 21, tzinfo=UTC), datetime(2026, 3, 19, 20, tzinfo=UTC)
        )
    )
    assert days["close"][1] == of_day["close"][-1]
    assert days["high"][1] == of_day["high"].max()


def test_figures_that_were_published_stay() -> None:
    now, later = current_releases(NOW), current_releases(NOW + timedelta(days=40))
    before = now.filter(pl.col("event_time") < NOW)
    assert later.filter(pl.col("event_time") < NOW).equals(before)
    assert before["actual"].null_count() == 0
    assert now.filter(pl.col("event_time") >= NOW)["actual"].null_count() == now.height - before.height
    assert now["event_time"][-1] >= NOW + timedelta(days=150)


def test_a_generated_market_continues_with_the_same_times_of_releases() -> None:
    market = generate_market(end=NOW, days=40, hours=50)
    first = market.calendar["event_time"].min()
    calendar = current_releases(NOW).filter(pl.col("event_time") >= first)
    shared = market.calendar.filter(pl.col("event_time") <= calendar["event_time"].max())
    assert shared["event_time"].equals(calendar["event_time"][: shared.height])
