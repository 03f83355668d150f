"""The last closed candles, against a rule that looks at one candle after the other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_server.forecast.windows import Window, closed_window
from inference_server.schemas import Limits, PredictRequest
from market.closed_candles import STILL_OPEN, last_closed
from market.instruments import Instrument, default_instruments
from market.time_grid import TimeGridError, candle_bounds, past_timestamps
from market.timeframes import Timeframe

INSTRUMENTS = [default_instruments()[symbol] for symbol in ("BTC-USD", "EURUSD", "SPY")]
NAMES: tuple[Timeframe, ...] = ("1m", "30m", "1h", "4h", "1d", "1w")
INSTANTS = st.integers(0, 30 * 24 * 60).map(
    lambda minutes: np.datetime64("2024-11-20", "us") + np.timedelta64(minutes, "m")
)
LIMITS = Limits(
    min_candles=1,
    max_pred_len=512,
    max_sample_count=256,
    max_lookback=4096,
    max_batch_symbols=100,
    max_body_bytes=2**25,
)


@given(st.sampled_from(INSTRUMENTS), st.sampled_from(NAMES), INSTANTS, st.integers(1, 60))
def test_the_newest_closed_candles_are_kept_and_no_other(
    instrument: Instrument, timeframe: Timeframe, as_of: np.datetime64, lookback: int
) -> None:
    timestamps = past_timestamps(instrument, timeframe, np.datetime64("2024-12-24", "us"), 50)
    closes = candle_bounds(instrument, timeframe, timestamps)[1]
    expected = [row for row in range(50) if closes[row] <= as_of][-lookback:]
    assert last_closed(timestamps, timeframe, as_of, lookback, instrument).tolist() == expected


@given(st.sampled_from(INSTRUMENTS), st.sampled_from(NAMES), INSTANTS, st.integers(1, 60))
def test_the_server_cuts_to_the_same_candles(
    instrument: Instrument, timeframe: Timeframe, as_of: np.datetime64, lookback: int
) -> None:
    timestamps = past_timestamps(instrument, timeframe, np.datetime64("2024-11-18", "us"), 70)
    window = Window(np.arange(420.0).reshape(70, 6), timestamps)
    request = PredictRequest(symbol=instrument.symbol, timeframe=timeframe, lookback=lookback)
    rows = last_closed(timestamps, timeframe, as_of, lookback, instrument)
    kept = closed_window(window, request, instrument, as_of, LIMITS)
    np.testing.assert_array_equal(kept.timestamps, timestamps[rows])
    np.testing.assert_array_equal(kept.features, window.features[rows])


@given(st.sampled_from(INSTRUMENTS), st.sampled_from(NAMES), INSTANTS)
def test_at_most_two_candles_that_began_are_still_open(
    instrument: Instrument, timeframe: str, as_of: np.datetime64
) -> None:
    timestamps = past_timestamps(instrument, timeframe, as_of, 50)
    assert len(last_closed(timestamps, timeframe, as_of, 50, instrument)) >= 50 - STILL_OPEN


def test_without_a_calendar_a_candle_lasts_as_long_as_its_timeframe_or_spacing_says() -> None:
    timestamps = np.datetime64("2024-12-18T00:00", "us") + np.arange(4) * np.timedelta64(1, "h")
    as_of = np.datetime64("2024-12-18T03:30", "us")
    assert last_closed(timestamps, "1h", as_of, 9, None).tolist() == [0, 1, 2]
    assert last_closed(timestamps, "1d", as_of, 9, None).tolist() == []
    half = np.timedelta64(30, "m")
    assert last_closed(timestamps, "1h", as_of, 9, INSTRUMENTS[0], half).tolist() == [0, 1, 2, 3]
    assert last_closed(timestamps, "1h", as_of, 2, None).tolist() == [1, 2]


def test_a_candle_outside_the_calendar_is_refused() -> None:
    with pytest.raises(TimeGridError, match="reach outside the calendar"):
        last_closed(np.array(["1900-01-01"], "datetime64[us]"), "1d", np.datetime64("now"), 1, INSTRUMENTS[2])
