"""From requests to jobs: limits, closed candles, future timestamps, event arrays."""

from typing import Any

import numpy as np
import pytest

from inference_server.errors import BeyondLimit, InvalidCandles, InvalidEvents, InvalidRequest, TooFewCandles
from inference_server.forecast import windows as requests
from inference_server.forecast.windows import Window
from inference_server.schemas import Candles, EncodedArray, ForecastSettings, PredictRequest
from inference_server.settings import Settings
from market.candles import CandleError
from market.event_channels import EVENT_CHANNELS
from market.instruments import Instrument

LIMITS = Settings.from_environment({"KRONOS_BUNDLE": "b"}).limits
BITCOIN = Instrument("BTC-USD", "crypto", "24/7")
SPY = Instrument("SPY", "equity", "XNYS")
START = np.datetime64("2024-06-03T00:00", "us")
HOUR = np.timedelta64(1, "h")


def window(count: int = 40) -> Window:
    features = np.arange(count * 6, dtype=np.float64).reshape(count, 6)
    return Window(features, START + np.arange(count) * HOUR)


def asked(**fields: Any) -> PredictRequest:
    return PredictRequest(**{"symbol": "BTC-USD", "timeframe": "1h", "pred_len": 3, **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pred_len": 513}, "pred_len is 513; expected 1 … 512"),
        ({"sample_count": 257}, "sample_count is 257; expected 1 … 256"),
        ({"lookback": 31}, "lookback is 31; expected 32 … 4096"),
        ({"lookback": 5000}, "lookback is 5000; expected 32 … 4096"),
        ({"context_stride": 2048}, "context_stride is 2048; expected 1 … 2047"),
    ],
)
def test_limits_name_field_and_range(fields: dict[str, int], message: str) -> None:
    with pytest.raises(BeyondLimit, match=message):
        requests.check_limits(ForecastSettings(**fields), LIMITS, max_context=2048)


def test_pred_len_is_limited_by_the_context_too() -> None:
    requests.check_limits(ForecastSettings(pred_len=64), LIMITS, max_context=64)
    with pytest.raises(BeyondLimit, match="expected 1 … 64"):
        requests.check_limits(ForecastSettings(pred_len=65), LIMITS, max_context=64)


def test_inline_candles_become_a_window() -> None:
    columns = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    made = requests.inline_window(Candles(timestamp=["2024-06-03", "2024-06-04"], **columns))
    np.testing.assert_array_equal(
        requests.without_gaps(made).features, [[1, 1, 1, 1, 1, 1], [2, 2, 2, 2, 2, 4]]
    )
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
        requests.inline_window(Candles(**{**good, **columns}))


@pytest.mark.parametrize("instrument", [BITCOIN, None])
@pytest.mark.parametrize(
    ("as_of", "count"), [("2024-06-04T16:00", 40), ("2024-06-04T15:59:59", 39), ("2030-01-01", 40)]
)
def test_only_closed_candles_count(instrument: Instrument | None, as_of: str, count: int) -> None:
    kept = requests.usable(window(), asked(), instrument, np.datetime64(as_of, "us"), LIMITS)
    assert len(kept) == count
    assert kept.timestamps[0] == START
    assert kept.features.flags.c_contiguous


def test_the_last_lookback_candles_are_used() -> None:
    kept = requests.usable(window(), asked(lookback=33), BITCOIN, np.datetime64("2030-01-01", "us"), LIMITS)
    np.testing.assert_array_equal(kept.timestamps, window().timestamps[-33:])
    np.testing.assert_array_equal(kept.features, window().features[-33:])


def test_a_daily_candle_of_spy_closes_with_the_session() -> None:
    daily = Window(np.ones((40, 6)), np.datetime64("2024-05-20", "us") + np.arange(40) * 24 * HOUR)
    for as_of, last in (("2024-06-21T19:59", "2024-06-20"), ("2024-06-21T20:00", "2024-06-21")):
        kept = requests.usable(daily, asked(timeframe="1d"), SPY, np.datetime64(as_of, "us"), LIMITS)
        assert kept.timestamps[-1] == np.datetime64(last, "us")


def test_too_few_candles_say_how_many_there_are() -> None:
    with pytest.raises(TooFewCandles, match="has 31 candles of 1h closed by 2024-06-04T07:00:00Z"):
        requests.usable(window(), asked(), BITCOIN, np.datetime64("2024-06-04T07:00", "us"), LIMITS)


def test_candles_that_the_calendar_does_not_cover_are_refused() -> None:
    ancient = Window(np.ones((40, 6)), np.datetime64("1950-01-02", "us") + np.arange(40) * HOUR)
    with pytest.raises(InvalidCandles, match="outside the calendar"):
        requests.usable(ancient, asked(), BITCOIN, np.datetime64("2024-01-01", "us"), LIMITS)


@pytest.mark.parametrize(
    ("gap", "volume", "amount"), [((4, 7), 0.0, 0.0), ((5, 7), 10.0, 20.0), (None, 10.0, 5.0)]
)
def test_gaps_in_stored_volume_or_amount(gap: tuple[int, int] | None, volume: float, amount: float) -> None:
    stored = Window(np.tile([2.0, 2.0, 2.0, 2.0, 10.0, 5.0], (40, 1)), window().timestamps)
    if gap is not None:
        stored.features[gap[1], gap[0]] = np.nan
    filled = requests.without_gaps(stored)
    np.testing.assert_array_equal(filled.features[:, 4:], np.tile([volume, amount], (40, 1)))


def test_a_missing_stored_price_is_refused_by_its_time() -> None:
    stored = window()
    stored.features[2, 1] = np.nan
    with pytest.raises(InvalidCandles, match="2024-06-03T02:00:00Z lacks a price"):
        requests.without_gaps(stored)


@pytest.mark.parametrize(
    ("volume", "amount"),
    [([1.0, None], None), ([1.0, None], [1.0, 2.0]), (None, [1.0, 2.0]), ([None] * 2, None)],
)
def test_an_unknown_volume_inline_is_as_one_in_the_database(
    volume: list[float | None] | None, amount: list[float | None] | None
) -> None:
    prices: Any = {name: [1.0, 2.0] for name in ("open", "high", "low", "close")}
    given = Candles(timestamp=["2024-06-03", "2024-06-04"], **prices, volume=volume, amount=amount)
    filled = requests.without_gaps(requests.inline_window(given))
    np.testing.assert_array_equal(filled.features[:, 4:], np.zeros((2, 2)))


def spaced(minutes: int, count: int = 40) -> Window:
    return Window(np.ones((count, 6)), START + np.arange(count) * np.timedelta64(60 * minutes, "s"))


LATER = np.datetime64("2030-01-01", "us")


@pytest.mark.parametrize("instrument", [BITCOIN, None])
@pytest.mark.parametrize(
    ("minutes", "timeframe", "message"),
    [
        (5, "1h", "are 5 minutes apart, timeframe is 1h: give candles of 1h, or future_timestamps 5 minutes"),
        (15, "1h", "are 15 minutes apart, timeframe is 1h"),
        (240, "1h", "are 4 hours apart, timeframe is 1h"),
        (60, "1d", "are 1 hour apart, timeframe is 1d .did you mean timeframe 1h"),
        (1440, "1h", "are 1 day apart, timeframe is 1h .did you mean timeframe 1d"),
    ],
)
def test_candles_of_another_spacing_are_refused(
    minutes: int, timeframe: str, message: str, instrument: Instrument | None
) -> None:
    with pytest.raises(InvalidCandles, match=message) as refused:
        requests.usable(spaced(minutes), asked(timeframe=timeframe), instrument, LATER, LIMITS)
    assert refused.value.status == 422


def times(start: np.datetime64, minutes: int, count: int) -> list[str]:
    return [str(start + (row + 1) * np.timedelta64(60 * minutes, "s")) for row in range(count)]


@pytest.mark.parametrize("instrument", [BITCOIN, None])
def test_another_spacing_is_taken_where_the_callers_future_goes_on(instrument: Instrument | None) -> None:
    window = spaced(15)
    request = asked(timeframe="1d", future_timestamps=times(window.timestamps[-1], 15, 3))
    now = window.timestamps[-1] + np.timedelta64(14, "m")
    kept = requests.usable(window, request, instrument, now, LIMITS)
    np.testing.assert_array_equal(kept.timestamps, window.timestamps[:-1])  # the last one is still open
    kept = requests.usable(window, request, instrument, now + np.timedelta64(1, "m"), LIMITS)
    np.testing.assert_array_equal(kept.timestamps, window.timestamps)
    assert requests.future_of(request, kept, instrument)[0] == window.timestamps[-1] + np.timedelta64(15, "m")


@pytest.mark.parametrize("minutes", [1, 60, 1440])
def test_another_spacing_is_refused_where_the_future_has_yet_another(minutes: int) -> None:
    window = spaced(15)
    request = asked(pred_len=8, future_timestamps=times(window.timestamps[-1], minutes, 8))
    with pytest.raises(InvalidCandles, match=r"15 minutes apart.* do not go on as the candles do"):
        requests.usable(window, request, BITCOIN, LATER, LIMITS)


def test_only_the_candles_that_are_used_are_looked_at() -> None:
    fine = spaced(15, 400).timestamps
    window = Window(np.ones((500, 6)), np.concatenate([fine, fine[-1] + HOUR * np.arange(1, 101)]))
    assert len(requests.usable(window, asked(lookback=64), BITCOIN, LATER, LIMITS)) == 64


def test_future_timestamps_continue_on_the_clock_hour_where_the_candles_stand_there() -> None:
    hours = np.array([13, 14, 15, 16, 17, 18, 19])
    days = np.arange("2024-06-03", "2024-06-15", dtype="datetime64[D]")
    days = days[np.is_busday(days)].astype("datetime64[us]")
    stamps = (days[:, None] + hours * np.timedelta64(1, "h")).ravel()
    apple = Window(np.ones((len(stamps), 6)), stamps)
    future = requests.future_of(asked(), apple, SPY)
    expected = ["2024-06-17T13:00", "2024-06-17T14:00", "2024-06-17T15:00"]
    np.testing.assert_array_equal(future, np.array(expected, dtype="datetime64[us]"))


def test_future_timestamps_follow_the_calendar() -> None:
    friday = Window(np.ones((1, 6)), np.array(["2024-06-28"], dtype="datetime64[us]"))
    future = requests.future_of(asked(timeframe="1d", pred_len=4), friday, SPY)
    expected = ["2024-07-01", "2024-07-02", "2024-07-03", "2024-07-05"]
    np.testing.assert_array_equal(future, np.array(expected, dtype="datetime64[us]"))


def test_given_future_timestamps_win() -> None:
    given = ["2024-06-05T01:00", "2024-06-05T02:00", "2024-06-05T07:00"]
    future = requests.future_of(asked(future_timestamps=given), window(), BITCOIN)
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
        requests.future_of(asked(future_timestamps=given), window(), None)


def encoded(array: np.ndarray) -> EncodedArray:
    return EncodedArray(shape=array.shape, data=array.astype("<f4").tobytes())


@pytest.mark.parametrize("rows", [40, 43])
def test_event_arrays_as_lists_and_bytes_are_equal(rows: int) -> None:
    events = np.random.default_rng(0).normal(size=(rows, 20)).astype(np.float32)
    for given in (events.tolist(), encoded(events)):
        array = requests.event_array(given, 40, 3)
        np.testing.assert_array_equal(array, events)
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("shape", [(39, 20), (41, 20), (40, 19), (43, 21), (0, 20), (40, 0), (0, 0)])
def test_other_shapes_name_the_ones_expected(shape: tuple[int, int]) -> None:
    for given in (np.zeros(shape).tolist(), encoded(np.zeros(shape))):
        with pytest.raises(InvalidEvents, match=r"expected \[40, 20\] or \[43, 20\]") as refused:
            requests.event_array(given, 40, 3)
        assert refused.value.expected == [[40, 20], [43, 20]]


@pytest.mark.parametrize("shape", [(40, 20), (-40, -20), (43, 20)])
def test_bytes_that_do_not_fill_the_shape_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(InvalidEvents, match="holds 12 bytes"):
        requests.event_array(EncodedArray(shape=shape, data=b"x" * 12), 40, 3)


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(InvalidEvents, match="differ in length"):
        requests.event_array([[0.0] * 20] * 39 + [[0.0] * 19], 40, 3)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300])
def test_values_that_are_not_finite_name_row_and_channel(value: float) -> None:
    events = np.zeros((40, 20))
    events[7, 17] = value
    with pytest.raises(InvalidEvents, match=r"events\[7\]\[17\] \(vix_level_z\) is") as refused:
        requests.event_array(events.tolist(), 40, 3)
    assert EVENT_CHANNELS[17] == "vix_level_z"
    assert refused.value.given in ("nan", "inf", "-inf")


@pytest.mark.parametrize(("built", "bundle"), [(None, 1), (1, 1), (2, None)])
def test_event_schemas_that_fit(built: int | None, bundle: int | None) -> None:
    requests.check_event_schema(ForecastSettings(event_schema=built), bundle)


def test_another_event_schema_is_refused() -> None:
    with pytest.raises(InvalidEvents, match=r"schema version 2 .* reads version 1"):
        requests.check_event_schema(ForecastSettings(event_schema=2), 1)


def test_new_seeds_differ_and_survive_json() -> None:
    seeds = {requests.new_seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**53 for seed in seeds)


@pytest.mark.parametrize(
    ("zone", "instrument", "clock"),
    [
        (None, None, "UTC"),
        (None, BITCOIN, "UTC"),
        (None, Instrument("X", "equity", "XSHG", model_time_zone="Asia/Shanghai"), "Asia/Shanghai"),
        ("UTC", Instrument("X", "equity", "XSHG", model_time_zone="Asia/Shanghai"), "UTC"),
        ("Asia/Tokyo", None, "Asia/Tokyo"),
    ],
)
def test_the_clock_is_the_one_asked_for_else_the_instrument_s(
    zone: str | None, instrument: Instrument | None, clock: str
) -> None:
    assert requests.model_clock(asked(time_zone=zone), instrument) == clock


def test_a_clock_of_the_table_that_nobody_knows_is_named() -> None:
    typo = Instrument("X", "equity", "XSHG", model_time_zone="Shanghai")
    with pytest.raises(InvalidRequest, match="the instrument's model_time_zone is 'Shanghai'"):
        requests.model_clock(asked(), typo)
