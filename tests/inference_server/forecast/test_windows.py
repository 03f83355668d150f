"""Windows: candles of requests, closed candles, gaps, spacing and future timestamps."""

from typing import Any

import numpy as np
import pytest

from inference_server.errors import InvalidCandles, InvalidRequest, TooFewCandles
from inference_server.forecast.windows import (
    Window,
    closed_window,
    parse_candles,
    timestamps_to_forecast,
    without_gaps,
)
from inference_server.schemas import Candles, PredictRequest
from inference_server.settings import Settings
from market.candles import CandleError
from market.instruments import Instrument

LIMITS = Settings.from_environment({"KRONOS_BUNDLE": "b"}).limits
BITCOIN = Instrument("BTC-USD", "crypto", "24/7")
SPY = Instrument("SPY", "equity", "XNYS")
START = np.datetime64("2024-06-03T00:00", "us")
HOUR = np.timedelta64(1, "h")


def window(count: int = 40) -> Window:
    features = np.arange(count * 6, dtype=np.float64).reshape(count, 6)
    return Window(features, START + np.arange(count) * HOUR)


def request_for(**fields: Any) -> PredictRequest:
    return PredictRequest(**{"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3, **fields})


def test_inline_candles_become_a_window() -> None:
    columns: dict[str, Any] = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    made = parse_candles(Candles(timestamp=["2024-06-03", "2024-06-04"], **columns))
    np.testing.assert_array_equal(without_gaps(made).features, [[1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 4]])
    np.testing.assert_array_equal(made.timestamps, START + np.arange(2) * 24 * HOUR)


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"timestamp": ["2024-06-03"]}, InvalidCandles),
        ({"timestamp": ["2024-06-03", "2024-06-03"]}, InvalidRequest),
        ({"timestamp": ["2024-06-04", "2024-06-03"]}, InvalidRequest),
        ({"close": [1.0]}, CandleError),
        ({"close": [1.0, float("nan")]}, CandleError),
        ({"volume": [1.0]}, CandleError),
        ({"volume": [1.0, 1e18]}, CandleError),
    ],
)
def test_broken_inline_candles_are_refused(columns: dict[str, Any], error: type[Exception]) -> None:
    good = {"timestamp": ["2024-06-03", "2024-06-04"]} | {
        n: [1.0, 2.0] for n in ("open", "high", "low", "close")
    }
    with pytest.raises(error):
        parse_candles(Candles(**{**good, **columns}))


@pytest.mark.parametrize("instrument", [BITCOIN, None])
@pytest.mark.parametrize(
    ("as_of", "count"), [("2024-06-04T16:00", 40), ("2024-06-04T15:59:59", 39), ("2030-01-01", 40)]
)
def test_only_closed_candles_count(instrument: Instrument | None, as_of: str, count: int) -> None:
    kept = closed_window(window(), request_for(), instrument, np.datetime64(as_of, "us"), LIMITS)
    assert len(kept) == count
    assert kept.timestamps[0] == START
    assert kept.features.flags.c_contiguous


def test_the_last_lookback_candles_are_used() -> None:
    kept = closed_window(
        window(), request_for(lookback=33), BITCOIN, np.datetime64("2030-01-01", "us"), LIMITS
    )
    np.testing.assert_array_equal(kept.timestamps, window().timestamps[-33:])
    np.testing.assert_array_equal(kept.features, window().features[-33:])


def test_a_daily_candle_of_spy_closes_with_the_session() -> None:
    daily = Window(np.ones((40, 6)), np.datetime64("2024-05-20", "us") + np.arange(40) * 24 * HOUR)
    for as_of, last in (("2024-06-21T19:59", "2024-06-20"), ("2024-06-21T20:00", "2024-06-21")):
        kept = closed_window(daily, request_for(timeframe="1d"), SPY, np.datetime64(as_of, "us"), LIMITS)
        assert kept.timestamps[-1] == np.datetime64(last, "us")


def test_too_few_candles_say_how_many_there_are() -> None:
    with pytest.raises(TooFewCandles, match="has 31 candles of 1h closed by 2024-06-04T07:00:00Z"):
        closed_window(window(), request_for(), BITCOIN, np.datetime64("2024-06-04T07:00", "us"), LIMITS)


def test_candles_that_the_calendar_does_not_cover_are_refused() -> None:
    ancient = Window(np.ones((40, 6)), np.datetime64("1950-01-02", "us") + np.arange(40) * HOUR)
    with pytest.raises(InvalidCandles, match="outside the calendar"):
        closed_window(ancient, request_for(), BITCOIN, np.datetime64("2024-01-01", "us"), LIMITS)


@pytest.mark.parametrize(
    ("gap", "volume", "amount"), [((4, 7), 0.0, 0.0), ((5, 7), 10.0, 20.0), (None, 10.0, 5.0)]
)
def test_gaps_in_stored_volume_or_amount(gap: tuple[int, int] | None, volume: float, amount: float) -> None:
    stored = Window(np.tile([2.0, 2.0, 2.0, 2.0, 10.0, 5.0], (40, 1)), window().timestamps)
    if gap is not None:
        stored.features[gap[1], gap[0]] = np.nan
    filled = without_gaps(stored)
    np.testing.assert_array_equal(filled.features[:, 4:], np.tile([volume, amount], (40, 1)))


def test_a_missing_stored_price_is_refused_by_its_time() -> None:
    stored = window()
    stored.features[2, 1] = np.nan
    with pytest.raises(InvalidCandles, match="2024-06-03T02:00:00Z lacks a price"):
        without_gaps(stored)


@pytest.mark.parametrize(
    ("volume", "amount"),
    [([1.0, None], None), ([1.0, None], [1.0, 2.0]), (None, [1.0, 2.0]), ([None] * 2, None)],
)
def test_an_unknown_volume_inline_is_as_one_in_the_database(
    volume: list[float | None] | None, amount: list[float | None] | None
) -> None:
    prices: Any = {name: [1.0, 2.0] for name in ("open", "high", "low", "close")}
    given = Candles(timestamp=["2024-06-03", "2024-06-04"], **prices, volume=volume, amount=amount)
    filled = without_gaps(parse_candles(given))
    np.testing.assert_array_equal(filled.features[:, 4:], np.zeros((2, 2)))


def spaced(minutes: int, count: int = 40) -> Window:
    return Window(np.ones((count, 6)), START + np.arange(count) * np.timedelta64(60 * minutes, "s"))


LATER = np.datetime64("2030-01-01", "us")


@pytest.mark.parametrize("instrument", [BITCOIN, None])
@pytest.mark.parametrize(
    ("minutes", "timeframe", "message"),
    [
        (3, "1h", "are 3 minutes apart, timeframe is 1h: give candles of 1h, or future_timestamps 3 minutes"),
        (15, "1h", "are 15 minutes apart, timeframe is 1h .did you mean timeframe 15m"),
        (60, "5m", "are 1 hour apart, timeframe is 5m .did you mean timeframe 1h"),
        (240, "1h", "are 4 hours apart, timeframe is 1h .did you mean timeframe 4h"),
        (60, "1d", "are 1 hour apart, timeframe is 1d .did you mean timeframe 1h"),
        (1440, "1h", "are 1 day apart, timeframe is 1h .did you mean timeframe 1d"),
    ],
)
def test_candles_of_another_spacing_are_refused(
    minutes: int, timeframe: str, message: str, instrument: Instrument | None
) -> None:
    with pytest.raises(InvalidCandles, match=message) as refused:
        closed_window(spaced(minutes), request_for(timeframe=timeframe), instrument, LATER, LIMITS)
    assert refused.value.status == 422


def times(start: np.datetime64, minutes: int, count: int) -> list[str]:
    return [str(start + (row + 1) * np.timedelta64(60 * minutes, "s")) for row in range(count)]


@pytest.mark.parametrize("instrument", [BITCOIN, None])
def test_another_spacing_is_accepted_with_future_timestamps_that_continue_it(
    instrument: Instrument | None,
) -> None:
    window = spaced(15)
    request = request_for(timeframe="1d", future_timestamps=times(window.timestamps[-1], 15, 3))
    now = window.timestamps[-1] + np.timedelta64(14, "m")
    kept = closed_window(window, request, instrument, now, LIMITS)
    np.testing.assert_array_equal(kept.timestamps, window.timestamps[:-1])  # the last one is still open
    kept = closed_window(window, request, instrument, now + np.timedelta64(1, "m"), LIMITS)
    np.testing.assert_array_equal(kept.timestamps, window.timestamps)
    assert timestamps_to_forecast(request, kept, instrument)[0] == window.timestamps[-1] + np.timedelta64(
        15, "m"
    )


@pytest.mark.parametrize("minutes", [1, 60, 1440])
def test_another_spacing_is_refused_with_future_timestamps_at_a_third_one(minutes: int) -> None:
    window = spaced(15)
    request = request_for(pred_len=8, future_timestamps=times(window.timestamps[-1], minutes, 8))
    with pytest.raises(InvalidCandles, match=r"15 minutes apart.* do not continue at that spacing"):
        closed_window(window, request, BITCOIN, LATER, LIMITS)


def test_candles_before_the_lookback_are_not_checked() -> None:
    fine = spaced(15, 400).timestamps
    window = Window(np.ones((500, 6)), np.concatenate([fine, fine[-1] + HOUR * np.arange(1, 101)]))
    assert len(closed_window(window, request_for(lookback=64), BITCOIN, LATER, LIMITS)) == 64


def test_future_timestamps_follow_the_grid_of_the_candles() -> None:
    hours = np.array([13, 14, 15, 16, 17, 18, 19])
    days = np.arange("2024-06-03", "2024-06-15", dtype="datetime64[D]")
    days = days[np.is_busday(days)].astype("datetime64[us]")
    stamps = (days[:, None] + hours * np.timedelta64(1, "h")).ravel()
    apple = Window(np.ones((len(stamps), 6)), stamps)
    future = timestamps_to_forecast(request_for(), apple, SPY)
    expected = ["2024-06-17T13:00", "2024-06-17T14:00", "2024-06-17T15:00"]
    np.testing.assert_array_equal(future, np.array(expected, dtype="datetime64[us]"))


def test_future_timestamps_follow_the_calendar() -> None:
    friday = Window(np.ones((1, 6)), np.array(["2024-06-28"], dtype="datetime64[us]"))
    future = timestamps_to_forecast(request_for(timeframe="1d", pred_len=4), friday, SPY)
    expected = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    np.testing.assert_array_equal(future, np.array(expected, dtype="datetime64[us]"))


def test_future_timestamps_of_the_request_take_precedence() -> None:
    given = ["2024-06-05T01:00", "2024-06-05T02:00", "2024-06-05T07:00"]
    future = timestamps_to_forecast(request_for(future_timestamps=given), window(), BITCOIN)
    np.testing.assert_array_equal(future, np.array(given, dtype="datetime64[us]"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "send future_timestamps"),
        ([], "holds 0 instants and pred_len is 3"),
        (["2030-01-01", "2030-01-02"], "holds 2 instants and pred_len is 3"),
        (["2024-06-04T15:00", "2030-01-01", "2030-01-02"], "not after the last candle used"),
        (["2030-01-02", "2030-01-01", "2030-01-03"], r"future_timestamps\[1\] .* is not after"),
    ],
)
def test_future_timestamps_that_cannot_be_used(given: list[str | int] | None, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        timestamps_to_forecast(request_for(future_timestamps=given), window(), None)
