import numpy as np
import polars as pl
import pytest

from flows.events import Leaders
from market.time_grid import candle_bounds
from tests.helpers.event_markets import Market, at
from tests.helpers.event_results import array_of


def closes(market: Market, symbol: str, timeframe: str = "1d") -> dict[str, float]:
    mine = market.candles[timeframe].filter(pl.col("symbol") == symbol).sort("ts")
    return dict(zip(mine["ts"].dt.strftime("%Y-%m-%dT%H:%M"), mine["close"], strict=True))


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "channel", "candle", "leader", "last", "before"),
    [
        # The day before's candle of BTC closed at 00:00 UTC, long before the session's open.
        (
            "SPY",
            "1d",
            "2022-06-16T22:00",
            "btc_log_return",
            "2022-06-15",
            "BTC-USD",
            "2022-06-14",
            "2022-06-13",
        ),
        # On Monday it is Sunday's candle.
        (
            "SPY",
            "1d",
            "2022-06-16T22:00",
            "btc_log_return",
            "2022-06-13",
            "BTC-USD",
            "2022-06-12",
            "2022-06-11",
        ),
        # A symbol may be its own leader: the session before.
        ("SPY", "1d", "2022-06-16T22:00", "spy_log_return", "2022-06-13", "SPY", "2022-06-10", "2022-06-09"),
        (
            "BTC-USD",
            "1d",
            "2022-06-16T22:00",
            "btc_log_return",
            "2022-06-13",
            "BTC-USD",
            "2022-06-12",
            "2022-06-11",
        ),
        # The FX day of January 12 begins on January 11, 22:00 UTC: SPY's session ended an hour before, the
        # dollar index' day at that instant.
        (
            "EURUSD",
            "1d",
            "2022-01-14T22:00",
            "spy_log_return",
            "2022-01-12",
            "SPY",
            "2022-01-11",
            "2022-01-10",
        ),
        (
            "EURUSD",
            "1d",
            "2022-01-14T22:00",
            "dxy_log_return",
            "2022-01-12",
            "DXY",
            "2022-01-11",
            "2022-01-10",
        ),
    ],
)
def test_a_row_holds_the_return_of_the_leaders_last_closed_candle(
    market: Market,
    symbol: str,
    timeframe: str,
    as_of: str,
    channel: str,
    candle: str,
    leader: str,
    last: str,
    before: str,
) -> None:
    value = market.rows(market.request(symbol, timeframe, as_of))[channel][f"{candle}T00:00"]
    of = closes(market, leader)
    assert value == pytest.approx(np.log(of[f"{last}T00:00"] / of[f"{before}T00:00"]), rel=1e-5)


def test_a_leader_is_masked_while_its_market_is_shut(market: Market) -> None:
    rows = market.rows(market.request("BTC-USD", "1d", "2022-06-16T12:00"))["spy_log_return"]
    # Friday's session is news on Saturday; on Sunday and Monday nothing has happened since.
    assert "2022-06-11T00:00" in rows
    assert "2022-06-12T00:00" not in rows
    assert "2022-06-13T00:00" not in rows
    assert "2022-06-14T00:00" in rows


def test_an_hourly_leader_counts_when_its_candle_has_closed(market: Market) -> None:
    rows = market.rows(market.request("EURUSD", "1h", "2022-09-20T12:00"))["spy_log_return"]
    of = closes(market, "SPY", "1h")
    day = sorted(stamp for stamp in rows if stamp.startswith("2022-09-13"))
    # Candles from 13:30 close at 14:30 … 19:30, the last one, of half an hour, at 20:00.
    assert day == [f"2022-09-13T{hour}:00" for hour in range(15, 21)]
    assert rows["2022-09-13T15:00"] == pytest.approx(
        np.log(of["2022-09-13T13:30"] / of["2022-09-12T19:30"]), rel=1e-5
    )
    # At 20:00 both the candle of 18:30 and that of 19:30 have closed since 19:00: the last one counts.
    assert rows["2022-09-13T20:00"] == pytest.approx(
        np.log(of["2022-09-13T19:30"] / of["2022-09-13T18:30"]), rel=1e-5
    )


def test_prediction_rows_have_no_leaders(market: Market) -> None:
    result = market.build(market.request("SPY", "1d", "2022-06-14T22:00"))
    assert array_of(result)[:512, 14:18].any(axis=0).all()
    assert not array_of(result)[512:, 14:18].any()


def test_vix_is_the_last_known_close_over_the_year_before(market: Market) -> None:
    rows = market.rows(market.request("SPY", "1d", "2022-06-16T22:00"))["vix_level_z"]
    vix = market.candles["1d"].filter(pl.col("symbol") == "VIX").sort("ts")
    for candle, known in (("2022-06-15T00:00", "2022-06-14"), ("2022-06-13T00:00", "2022-06-10")):
        level = vix.filter(pl.col("ts") == at(known))["close"].item()
        year = vix.filter(
            pl.col("ts").is_between(pl.lit(at(known)).dt.offset_by("-365d"), at(known), closed="left")
        )
        z = (level - year["close"].mean()) / year["close"].std()
        assert rows[candle] == pytest.approx(np.clip(z, -3, 3), rel=1e-4)


def test_without_candles_of_the_vix_fred_counts_from_the_day_it_was_known(market: Market) -> None:
    request = market.request("BTC-USD", "1h", "2022-06-15T12:00")
    vix = market.candles["1d"].filter(pl.col("symbol") == "VIX").sort("ts")
    date = pl.col("ts").dt.date()
    series = vix.select(
        date.alias("date"),
        pl.col("close").alias("value"),
        date.dt.add_business_days(1, roll="forward").alias("known_on"),
    )
    revised = series.with_columns(pl.col("value") + 50, pl.col("known_on") + pl.duration(days=30))
    others = {frame: rows.filter(pl.col("symbol") != "VIX") for frame, rows in market.candles.items()}
    from_fred = market.rows(request, leaders=Leaders(others, pl.concat([series, revised])))["vix_level_z"]
    from_candles = market.rows(request)["vix_level_z"]
    # Tuesday's close came at 20:15 UTC; FRED had it on Wednesday.
    assert from_candles["2022-06-14T21:00"] == pytest.approx(from_candles["2022-06-15T11:00"])
    assert from_fred["2022-06-14T23:00"] != pytest.approx(from_candles["2022-06-14T23:00"])
    assert from_fred["2022-06-15T00:00"] == pytest.approx(from_candles["2022-06-15T00:00"])
    # Friday's is known on Monday.
    assert from_fred["2022-06-13T00:00"] == pytest.approx(from_candles["2022-06-13T00:00"])
    assert from_fred["2022-06-12T23:00"] != pytest.approx(from_candles["2022-06-12T23:00"])


@pytest.mark.parametrize(
    ("missing", "channel", "text"),
    [
        ("BTC-USD", 14, "leader-missing: leader BTC-USD has no 1d candles"),
        ("SPY", 15, "leader-missing: leader SPY has no 1d candles"),
        ("DXY", 16, "leader-missing: leader DXY has no 1d candles"),
        ("VIX", 17, "leader-missing: leader VIX has neither daily candles nor VIXCLS"),
    ],
)
def test_a_missing_leader_gives_zeros_and_one_warning(
    market: Market, missing: str, channel: int, text: str
) -> None:
    request = market.request("NVDA", "1d", "2022-06-16T22:00")
    daily = market.candles["1d"].filter(pl.col("symbol") != missing)
    result, whole = market.build(request, leaders=Leaders({"1d": daily})), market.build(request)
    assert whole.warnings == ()
    assert [warning.startswith(text) for warning in result.warnings] == [True]
    assert not array_of(result)[:, channel].any()
    others = np.delete(np.arange(20), channel)
    np.testing.assert_array_equal(array_of(result)[:, others], array_of(whole)[:, others])


def test_no_leaders_at_all_is_four_warnings(market: Market) -> None:
    result = market.build(market.request("NVDA", "1d", "2022-06-16T22:00"), leaders=Leaders({}))
    assert len(result.warnings) == 4
    assert not array_of(result)[:, 14:18].any()


def test_bad_and_repeated_leader_candles_are_passed_over(market: Market) -> None:
    request = market.request("NVDA", "1d", "2022-06-16T22:00")
    daily = market.candles["1d"]
    spy = daily.filter(pl.col("symbol") == "SPY")
    holes = spy.with_columns(
        pl.col("ts").dt.offset_by("-12h"), close=pl.Series([0.0, float("nan")] * 4000).head(len(spy))
    )
    result = market.build(request, leaders=Leaders({"1d": pl.concat([daily, spy, holes])}))
    np.testing.assert_array_equal(array_of(result), market.build(request).array)


def test_no_row_knows_a_leaders_candle_that_closed_after_its_open(market: Market) -> None:
    # The slow way: cut the leaders off at the row's open, and the row must stay what it is.
    request = market.request("EURUSD", "1h", "2022-09-14T12:00", lookback=60, pred_len=0)
    whole = array_of(market.build(request))
    opens, _ = candle_bounds(request.instrument, "1h", request.timestamps)
    for row in range(0, 60, 7):
        known = {}
        for timeframe, candles in market.candles.items():
            parts = []
            for leader in market.config.leaders.values():
                mine = candles.filter(pl.col("symbol") == leader.symbol)
                stamps = mine["ts"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
                parts.append(mine.filter(candle_bounds(leader, timeframe, stamps)[1] <= opens[row]))
            known[timeframe] = pl.concat(parts)
        cut = array_of(market.build(request, leaders=Leaders(known)))
        np.testing.assert_array_equal(cut[: row + 1, 14:18], whole[: row + 1, 14:18])
