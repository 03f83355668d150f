from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig, EventError, EventRequest, Leaders, build_event_arrays
from market.instruments import Instrument
from tests.helpers.event_markets import Market, at, calendar_rows
from tests.helpers.event_results import array_of

NO_STAMPS = np.zeros(0, dtype="datetime64[us]")


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
@pytest.mark.parametrize(("lookback", "pred_len"), [(512, 120), (40, 0), (1, 1), (1, 0)])
def test_arrays_of_all_symbols_of_a_run(market: Market, timeframe: str, lookback: int, pred_len: int) -> None:
    symbols = ["BTC-USD", "EURUSD", "XAUUSD", "SPY", "NVDA"]
    requests = [
        market.request(each, timeframe, "2022-02-15T12:00", lookback, pred_len) for each in symbols[:3]
    ]
    requests += [
        market.request(each, timeframe, "2023-02-15T12:00", lookback, pred_len) for each in symbols[3:]
    ]
    results = build_event_arrays(requests, market.calendar, Leaders(market.candles), market.config)
    assert list(results) == symbols
    for request in requests:
        result = results[request.symbol]
        assert result.error is None
        assert result.array is not None
        assert result.array.dtype == np.float32
        assert result.array.shape == (len(request.timestamps) + pred_len, 20)
        assert result.array.flags.c_contiguous
        assert np.isfinite(result.array).all()
        assert not result.array[:, 18:].any()
        assert np.abs(result.array).max() <= 3.0
        np.testing.assert_array_equal(result.array, market.build(request).array)


def test_symbols_on_one_grid_share_rows_but_no_memory(market: Market) -> None:
    euro = market.request("EURUSD", "1h", "2022-02-15T12:00")
    pound = replace(market.request("GBPUSD", "1h", "2022-02-15T12:00"), timestamps=euro.timestamps)
    results = build_event_arrays([euro, pound], market.calendar, Leaders(market.candles), market.config)
    first, second = results["EURUSD"], results["GBPUSD"]
    np.testing.assert_array_equal(first.array, second.array)
    assert first.context == second.context
    array_of(first)[:] = 7
    assert not (array_of(second) == 7).any()


def test_a_symbol_with_earnings_on_the_grid_of_others_keeps_them_to_itself(market: Market) -> None:
    shares, company = (market.request(each, "1h", "2023-03-15T12:00") for each in ("SPY", "NVDA"))
    requests = [shares, replace(company, timestamps=shares.timestamps)]
    results = build_event_arrays(requests, market.calendar, Leaders(market.candles), market.config)
    assert not array_of(results["SPY"])[:, 8].any()
    assert array_of(results["NVDA"])[:, 8].any()


def test_one_symbols_failure_is_its_own(market: Market) -> None:
    good = market.request("EURUSD", "1h", "2022-06-15T12:00")
    backwards = replace(good, symbol="BACK", timestamps=good.timestamps[::-1])
    unknown = replace(good, symbol="WHAT", instrument=Instrument("WHAT", "fx", "NOWHERE"))
    empty = replace(good, symbol="EMPTY", timestamps=NO_STAMPS)
    stale = replace(
        good,
        symbol="OLD",
        timestamps=good.timestamps - np.timedelta64(25 * 364, "D"),
        future_timestamps=NO_STAMPS,
    )
    early = replace(good, symbol="EARLY", as_of=np.datetime64("2022-06-15T11:59", "us"))
    asked = [backwards, unknown, good, empty, stale, early]
    results = build_event_arrays(asked, market.calendar, Leaders(market.candles), market.config)
    assert list(results) == [request.symbol for request in asked]
    np.testing.assert_array_equal(results["EURUSD"].array, market.build(good).array)
    for symbol, text in {
        "BACK": "expected increasing timestamps",
        "WHAT": "unknown calendar 'NOWHERE'",
        "EMPTY": "no candles",
        "OLD": "no calendar rows between 1997-",
        "EARLY": "the last candle closes at 2022-06-15T12:00:00.000000, after as_of 2022-06-15T11:59",
    }.items():
        assert results[symbol].array is None
        assert text in str(results[symbol].error)


@pytest.mark.parametrize("years", [0, 3])
def test_a_calendar_without_rows_for_the_window_is_an_error_of_the_run(market: Market, years: int) -> None:
    calendar = market.calendar.filter(pl.col("event_time") < at(f"{2010 + years}-01-01"))
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    with pytest.raises(
        EventError, match=r"no calendar rows between 2022-05-\d\d.* python -m flows\.load calendar"
    ):
        build_event_arrays([request], calendar, Leaders(market.candles), market.config)


def test_a_symbol_asked_twice_is_an_error(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    with pytest.raises(EventError, match="requested more than once: EURUSD"):
        build_event_arrays([request, request], market.calendar, Leaders({}), market.config)


def test_nothing_asked_is_nothing_built(config: EventConfig) -> None:
    assert build_event_arrays([], calendar_rows(), Leaders({}), config) == {}


def test_the_table_of_rates_feeds_is_rate_decision(market: Market) -> None:
    request = market.request("EURUSD", "1h", "2022-06-15T12:00")
    rates = calendar_rows({"event_time": "2022-06-14T09:10", "title": "x"}).select(
        bank=pl.lit("Norges Bank"), decision_time="event_time", time_known="time_known", scheduled="scheduled"
    )
    plain, fed = market.rows(request), market.rows(request, rates=rates)
    assert fed["is_rate_decision"] == plain["is_rate_decision"] | {"2022-06-14T09:00": 1.0}


def test_as_of_later_than_the_last_close_changes_nothing(market: Market) -> None:
    request = market.request("SPY", "1d", "2022-06-15T12:00")
    later = EventRequest(
        "SPY",
        request.instrument,
        "1d",
        request.timestamps,
        request.future_timestamps,
        np.datetime64("2022-06-15T19"),
    )
    np.testing.assert_array_equal(market.build(request).array, market.build(later).array)


def test_a_withdrawn_release_is_gone_from_the_instant_on(market: Market) -> None:
    row = {"event_time": "2024-06-19T12:30", "title": "CPI m/m", "event_type": "cpi"}
    rows = calendar_rows(row).with_columns(withdrawn_at=pl.lit(at("2024-06-13T09:30")))
    calendar = pl.concat([market.calendar.with_columns(withdrawn_at=None), rows], how="diagonal_relaxed")
    flags = {}
    for as_of in ("2024-06-13T09:00", "2024-06-13T09:45"):  # the same candles are closed
        request = market.request("BTC-USD", "1h", as_of, lookback=50, pred_len=200)
        flags[as_of] = market.rows(request, calendar)["is_cpi"]
    assert list(flags["2024-06-13T09:00"]) == ["2024-06-12T12:00", "2024-06-19T12:00"]
    assert list(flags["2024-06-13T09:45"]) == ["2024-06-12T12:00"]


def test_requests_of_one_run_may_look_from_different_instants(market: Market) -> None:
    row = {"event_time": "2024-06-19T12:30", "title": "CPI m/m", "event_type": "cpi"}
    rows = calendar_rows(row).with_columns(withdrawn_at=pl.lit(at("2024-06-13T09:30")))
    calendar = pl.concat([market.calendar.with_columns(withdrawn_at=None), rows], how="diagonal_relaxed")
    early = market.request("BTC-USD", "1h", "2024-06-13T09:00", lookback=50, pred_len=200)
    late = replace(early, symbol="ETH-USD", as_of=np.datetime64("2024-06-13T09:45", "us"))
    built = build_event_arrays([early, late], calendar, market.leaders, market.config)
    flags = [int(array_of(built[symbol])[50:, 1].sum()) for symbol in ("BTC-USD", "ETH-USD")]
    assert flags[0] == flags[1] + 1
