"""Windows that are shortened where the last close would be clipped."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.forecasting.candles import CandleWindow
from flows.forecasting.lookback import FEWEST, shortened, unclipped_length
from inference_server.forecast.input_warnings import clip_warnings
from market.candles import candle_features
from market.instruments import default_instruments

MIN_CANDLES = 32


def window(closes: np.ndarray) -> CandleWindow:
    hours = np.datetime64("2024-12-01T00:00", "us") + np.arange(len(closes) + 3) * np.timedelta64(1, "h")
    columns = {"open": closes, "high": closes * 1.01, "low": closes * 0.99, "close": closes}
    return CandleWindow(
        default_instruments()["BTC-USD"],
        hours[: len(closes)],
        columns | {"volume": np.arange(len(closes)) + 1.0},
        hours[len(closes) :],
    )


def jump(after: int, *, quiet: int, up: float = 1.5, noise: float = 0.01) -> np.ndarray:
    """Closes that hardly move and then stand higher for `after` candles."""
    rng = np.random.default_rng(0)
    closes = 100 * np.exp(rng.normal(0, noise, quiet + after))
    closes[quiet:] *= up
    return closes


def clipped(one: CandleWindow) -> bool:
    features = candle_features(**one.columns)
    return bool(clip_warnings(features, upstream_scale=False))


def test_a_window_is_shortened_until_it_holds_its_last_close() -> None:
    whole = window(jump(8, quiet=384))
    assert clipped(whole)
    short = shortened({"BTC-USD": whole}, MIN_CANDLES)["BTC-USD"]
    length = len(short.timestamps)
    assert FEWEST <= length < 392
    assert not clipped(short)
    assert {len(values) for values in short.columns.values()} == {length}
    np.testing.assert_array_equal(short.timestamps, whole.timestamps[-length:])
    np.testing.assert_array_equal(short.columns["volume"], whole.columns["volume"][-length:])
    np.testing.assert_array_equal(short.future_timestamps, whole.future_timestamps)
    (said,) = short.warnings
    assert said.startswith(f"shorter-lookback: {length} of 392 candles are used")


@pytest.mark.parametrize(
    "closes",
    [
        jump(0, quiet=392),
        jump(60, quiet=332),
        jump(1, quiet=391),  # one candle is beyond any window of 27 and more
        np.full(392, 7.0),
        jump(8, quiet=100),
    ],
    ids=["no jump", "old jump", "jump too new", "flat", "short already"],
)
def test_other_windows_stay_as_they_are(closes: np.ndarray) -> None:
    whole = window(closes)
    assert shortened({"BTC-USD": whole}, MIN_CANDLES)["BTC-USD"] is whole


def test_what_was_said_of_a_window_before_stays_said() -> None:
    whole = replace(window(jump(8, quiet=384)), notes=("other: before",))
    assert shortened({"BTC-USD": whole}, MIN_CANDLES)["BTC-USD"].warnings[0] == "other: before"


def test_the_server_s_minimum_counts_where_it_is_larger() -> None:
    whole = window(jump(8, quiet=384))
    assert shortened({"BTC-USD": whole}, 390)["BTC-USD"] is whole


@given(
    st.integers(0, 2**32),
    st.integers(2, 200),
    st.integers(0, 40),
    st.floats(0.2, 5.0),
    st.sampled_from([1e-8, 1.0, 6e4]),
    st.integers(2, 60),
)
def test_the_longest_end_is_found(
    seed: int, quiet: int, after: int, up: float, level: float, fewest: int
) -> None:
    rng = np.random.default_rng(seed)
    closes = level * np.exp(rng.normal(0, 0.01, quiet + after).cumsum())
    closes[quiet:] *= up

    def distance(length: int) -> float:
        end = closes[-length:]
        return float(abs(end[-1] - end.mean()) - 5 * end.std())

    rounding = 1e-9 * closes.max()
    length = unclipped_length(closes, fewest)
    if length is not None:
        assert length >= fewest
        assert distance(length) <= rounding
    longer = range(fewest if length is None else length + 1, len(closes) + 1)
    assert all(distance(each) > -rounding for each in longer)
