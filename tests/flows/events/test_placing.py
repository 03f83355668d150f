import numpy as np
import polars as pl
import pytest

from flows.events.window import event_window
from market.event_channels import EVENT_CHANNELS
from market.instruments import default_instruments
from market.time_grid import candle_bounds
from tests.helpers.event_markets import Market, at, calendar_rows
from tests.helpers.event_results import array_of

FOMC, CPI, NFP = "Federal Funds Rate", "CPI m/m", "Non-Farm Employment Change"


@pytest.mark.parametrize(
    ("symbol", "timeframe", "as_of", "channel", "candle", "not_on"),
    [
        # FOMC of June 15, 2022, 18:00 UTC: on the hour that begins with it, and on the day.
        ("EURUSD", "1h", "2022-06-16T12:00", "is_fomc", "2022-06-15T18:00", "2022-06-15T17:00"),
        ("BTC-USD", "1h", "2022-06-16T12:00", "is_fomc", "2022-06-15T18:00", "2022-06-15T17:00"),
        ("SPY", "1d", "2022-06-16T22:00", "is_fomc", "2022-06-15T00:00", "2022-06-16T00:00"),
        ("EURUSD", "1d", "2022-02-01T23:00", "is_fomc", "2022-01-26T00:00", "2022-01-27T00:00"),
        # CPI of June 10, 2022, 12:30 UTC.
        ("EURUSD", "1h", "2022-06-13T12:00", "is_cpi", "2022-06-10T12:00", "2022-06-10T13:00"),
        ("BTC-USD", "1h", "2022-06-13T12:00", "is_cpi", "2022-06-10T12:00", "2022-06-10T13:00"),
        ("SPY", "1d", "2022-06-13T22:00", "is_cpi", "2022-06-10T00:00", "2022-06-13T00:00"),
        # An hourly session: CPI of September 13, 2022, 12:30 UTC comes an hour before its first candle, the
        # FOMC of September 21, 18:00 UTC falls into the candle that began at 17:30.
        ("SPY", "1h", "2022-09-23T22:00", "is_cpi", "2022-09-13T13:30", "2022-09-12T19:30"),
        ("SPY", "1h", "2022-09-23T22:00", "is_fomc", "2022-09-21T17:30", "2022-09-21T18:30"),
        # Winter time moves the release and the session by the same hour.
        ("SPY", "1h", "2022-12-20T22:00", "is_cpi", "2022-12-13T14:30", "2022-12-13T13:30"),
        ("EURUSD", "1h", "2022-12-20T22:00", "is_cpi", "2022-12-13T13:00", "2022-12-13T12:00"),
        # The clocks had gone back in Europe, not yet in New York: 18:00 UTC is still 14:00 there.
        ("EURUSD", "1h", "2022-11-04T12:00", "is_fomc", "2022-11-02T18:00", "2022-11-02T19:00"),
        # Payrolls on Good Friday 2021: the exchange is shut, so Monday; FX and crypto are open.
        ("SPY", "1d", "2021-04-07T22:00", "is_nfp", "2021-04-05T00:00", "2021-04-01T00:00"),
        ("BTC-USD", "1d", "2021-04-07T22:00", "is_nfp", "2021-04-02T00:00", "2021-04-05T00:00"),
        ("GBPUSD", "1h", "2021-04-07T22:00", "is_nfp", "2021-04-02T12:00", "2021-04-05T12:00"),
        # The emergency cut of Sunday, March 15, 2020, 21:00 UTC: crypto trades through; the FX week opens at
        # that very instant (17:00 New York); equities have it on Monday.
        ("BTC-USD", "1h", "2020-03-17T12:00", "is_fomc", "2020-03-15T21:00", "2020-03-15T20:00"),
        ("BTC-USD", "1d", "2020-03-17T12:00", "is_fomc", "2020-03-15T00:00", "2020-03-16T00:00"),
        ("EURUSD", "1h", "2020-03-17T12:00", "is_fomc", "2020-03-15T21:00", "2020-03-13T20:00"),
        ("EURUSD", "1d", "2020-03-17T23:00", "is_fomc", "2020-03-16T00:00", "2020-03-13T00:00"),
        ("SPY", "1d", "2020-03-17T22:00", "is_fomc", "2020-03-16T00:00", "2020-03-13T00:00"),
        # NVDA reported on November 20, 2024; only the date is known.
        ("NVDA", "1d", "2024-11-22T22:00", "is_earnings", "2024-11-20T00:00", "2024-11-21T00:00"),
        ("NVDA", "1h", "2024-11-22T22:00", "is_earnings", "2024-11-20T14:30", "2024-11-20T15:30"),
        # Core PCE of April 29, 2019 is there twice, once by its date alone: the row with a time counts.
        ("EURUSD", "1h", "2019-05-01T12:00", "is_pce", "2019-04-29T12:00", "2019-04-29T00:00"),
        ("SPY", "1d", "2019-05-01T22:00", "is_pce", "2019-04-29T00:00", "2019-04-30T00:00"),
        # The Bank of England, May 5, 2022, 11:00 UTC.
        ("BTC-USD", "1h", "2022-05-06T12:00", "is_rate_decision", "2022-05-05T11:00", "2022-05-05T12:00"),
        ("EURUSD", "1h", "2022-06-16T12:00", "is_gdp", "2022-05-26T12:00", "2022-05-26T13:00"),
    ],
)
def test_a_release_falls_on_the_first_candle_that_closes_after_it(
    market: Market, symbol: str, timeframe: str, as_of: str, channel: str, candle: str, not_on: str
) -> None:
    rows = market.rows(market.request(symbol, timeframe, as_of))[channel]
    assert rows[candle] == 1.0
    assert not_on not in rows


def test_what_happened_in_a_hole_of_the_feed_is_not_news_after_it(market: Market) -> None:
    """EURUSD has no candles from 2020-10-15 to 2022-01-03; the next FOMC decision came on January 26."""
    request = market.request("EURUSD", "1h", "2022-01-13T20:00", lookback=250, pred_len=0)
    after = int(np.flatnonzero(np.diff(request.timestamps) > np.timedelta64(365, "D"))[0]) + 1
    row = array_of(market.build(request))[after]
    assert not row[[0, 1, 2, 9]].any()  # GDP and PCE of the last two weeks of 2021 are there
    days = (np.datetime64("2022-01-26T19:00") - request.timestamps[after]) / np.timedelta64(1, "D")
    np.testing.assert_allclose(row[10:12], [np.sin(np.pi * days / 45), np.cos(np.pi * days / 45)], rtol=1e-5)


def test_a_release_on_a_half_day_after_its_close_belongs_to_the_next_session(market: Market) -> None:
    request = market.request("SPY", "1h", "2022-11-29T22:00")
    rows = {
        when: market.rows(request, calendar_rows({"event_time": when, "title": FOMC}))["is_fomc"]
        for when in ("2022-11-25T17:45", "2022-11-25T18:00", "2022-11-25T19:30")
    }
    # This feed has no candle for the last half hour of half days: what falls into it is Monday's as well.
    assert all(found == {"2022-11-28T14:30": 1.0} for found in rows.values())


def test_one_decision_is_one_event_though_the_calendar_has_several_rows(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-07-08T12:00")
    rows = market.rows(request)["is_fomc"]
    # Minutes of July 6 and the press conference of June 15, 18:30, have event_type fomc and set nothing.
    assert list(rows) == ["2022-06-15T18:00"]


def test_flags_of_the_prediction_window_come_from_the_schedule(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    assert market.rows(request)["is_fomc"] == {"2022-06-15T18:00": 1.0}
    alone = market.request("EURUSD", "1h", "2022-06-15T12:00", pred_len=0)
    result, whole = market.build(alone), market.build(request)
    assert array_of(result).shape == (512, 20)
    np.testing.assert_array_equal(array_of(result), array_of(whole)[:512])


def test_surprises_stand_on_history_alone(market: Market) -> None:
    after = market.rows(market.request("EURUSD", "1h", "2022-06-15T19:00"))
    assert after["fomc_hawkish_score"] == {"2022-06-15T18:00": 1.0}  # 75 bp where 50 were forecast
    before = market.rows(market.request("EURUSD", "1h", "2022-06-15T18:00"))
    assert before["fomc_hawkish_score"] == {}
    assert before["is_fomc"] == {"2022-06-15T18:00": 1.0}


def test_cpi_surprise_is_measured_by_the_twenty_releases_before(market: Market) -> None:
    cpi = market.calendar.filter((pl.col("title") == CPI) & (pl.col("currency") == "USD")).sort("event_time")
    past = cpi.filter(pl.col("event_time") < at("2022-06-10T12:30")).tail(20)
    sigma = np.std((past["actual"] - past["forecast"]).to_numpy(), ddof=1)
    found = market.rows(market.request("EURUSD", "1h", "2022-06-13T12:00"))["cpi_surprise_z"]
    assert found == {"2022-06-10T12:00": pytest.approx((1.0 - 0.7) / sigma)}


@pytest.mark.parametrize(
    ("as_of", "symbol", "decision"),
    [
        ("2020-03-03T15:00", "EURUSD", "2020-03-03T15:00"),
        ("2020-03-14T12:00", "BTC-USD", "2020-03-15T21:00"),
    ],
)
def test_an_unscheduled_decision_shows_nothing_before_it_happened(
    market: Market, as_of: str, symbol: str, decision: str
) -> None:
    last_close = np.datetime64(as_of) - np.timedelta64(1, "h")
    before = market.request(symbol, "1h", last_close)
    without = market.calendar.filter(pl.col("event_time") != at(decision))
    np.testing.assert_array_equal(market.build(before).array, market.build(before, without).array)
    later = market.request(symbol, "1h", np.datetime64(decision) + np.timedelta64(26, "h"))
    rows = market.rows(later)
    assert rows["is_fomc"][decision] == 1.0
    assert rows["fomc_hawkish_score"][decision] == -1.0  # no forecast: against the rate before
    # No candle counts down to it, also in hindsight: the next meeting on the schedule was April 29.
    opens = later.timestamps.astype("datetime64[m]")
    assert rows["days_to_fomc_cos"][str(opens[-30])] == pytest.approx(-1.0)


def test_a_column_marks_unscheduled_decisions_too(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    decision = {"event_time": "2022-06-15T18:00", "title": FOMC, "scheduled": False}
    other = {"event_time": "2022-06-10T12:30", "title": CPI}
    rows = market.rows(request, calendar_rows(decision, other))
    assert rows["is_fomc"] == rows["is_rate_decision"] == rows["days_to_fomc_cos"] == {}


def test_countdown_runs_from_the_open_to_the_release_and_is_zero_on_its_own_candle(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    rows = market.rows(request)
    angle = np.pi * (6 / 24) / 45
    assert rows["days_to_fomc_sin"]["2022-06-15T12:00"] == pytest.approx(np.sin(angle))
    assert rows["days_to_fomc_cos"]["2022-06-15T12:00"] == pytest.approx(np.cos(angle))
    assert "2022-06-15T18:00" not in rows["days_to_fomc_sin"]
    assert rows["days_to_fomc_cos"]["2022-06-15T18:00"] == 1.0
    after = (
        np.pi
        * (np.datetime64("2022-07-27T18:00") - np.datetime64("2022-06-15T19:00"))
        / np.timedelta64(45, "D")
    )
    assert rows["days_to_fomc_cos"]["2022-06-15T19:00"] == pytest.approx(np.cos(after))


def test_countdown_of_a_release_before_the_open_is_zero_on_the_session_that_holds_it(market: Market) -> None:
    rows = market.rows(market.request("SPY", "1d", "2022-06-13T22:00"))
    assert rows["days_to_cpi_cos"]["2022-06-10T00:00"] == 1.0
    days = (np.datetime64("2022-06-10T12:30") - np.datetime64("2022-06-09T13:30")) / np.timedelta64(1, "D")
    assert rows["days_to_cpi_cos"]["2022-06-09T00:00"] == pytest.approx(np.cos(np.pi * days / 31))


def test_countdown_is_capped(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    far = calendar_rows(
        {"event_time": "2023-01-01T12:00", "title": FOMC}, {"event_time": "2022-06-14T00:00", "title": "x"}
    )
    rows = market.rows(request, far)
    assert set(rows["days_to_fomc_cos"].values()) == {-1.0}
    assert max(rows["days_to_fomc_sin"].values(), default=0) < 1e-7


def test_a_calendar_that_ends_before_the_window_leaves_the_countdown_at_zero_and_says_so(
    market: Market,
) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    ended = market.calendar.filter(pl.col("event_time") < at("2022-06-15T12:00"))
    result = market.build(request, ended)
    rows = market.rows(request, ended)
    assert not any(stamp > "2022-06-10T12:00" for stamp in rows["days_to_cpi_cos"])
    assert rows["is_fomc"] == {}
    assert any(
        "the calendar ends at 2022-06-14T" in text or "ends at 2022-06-15T" in text
        for text in result.warnings
    )


def test_a_release_before_the_first_candle_is_not_put_on_it(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00", lookback=64)
    first = request.timestamps[0].astype("datetime64[s]").item()
    opens, _ = candle_bounds(request.instrument, "1h", request.timestamps[:1])
    assert opens[0] == request.timestamps[0]
    assert (
        market.rows(
            request,
            calendar_rows(
                {"event_time": "2022-06-03T12:30", "title": NFP}, {"event_time": first, "title": "x"}
            ),
        )["is_nfp"]
        == {}
    )


def test_the_first_session_of_a_window_keeps_the_release_before_its_open(market: Market) -> None:
    whole = market.request("SPY", "1d", "2022-06-13T22:00")
    index = int(np.flatnonzero(whole.timestamps == np.datetime64("2022-06-10"))[0])
    short = market.request("SPY", "1d", "2022-06-13T22:00", lookback=len(whole.timestamps) - index)
    array = array_of(market.build(short))
    np.testing.assert_array_equal(array, array_of(market.build(whole))[index:])
    assert array[0, EVENT_CHANNELS.index("is_cpi")] == 1.0


def test_a_release_at_the_instant_of_the_last_close_is_the_next_candles(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T18:00")
    assert request.timestamps[-1] == np.datetime64("2022-06-15T17:00")
    array = array_of(market.build(request))
    assert array[512, 0] == 1.0
    assert not array[:, 6].any()


def test_the_candle_before_the_first_ends_where_that_one_begins() -> None:
    # On the clock hour: the calendar's candle before 15:00 is that of 14:30.
    stamps = np.array(["2022-06-15T15:00", "2022-06-15T16:00"], dtype="datetime64[us]")
    window = event_window(default_instruments()["SPY"], "1h", stamps, stamps[:0])
    assert window.closes[0] == window.opens[1] == stamps[0]
    release = np.array(["2022-06-15T15:10"], dtype="datetime64[us]")
    assert window.row_of(release).tolist() == [0]
