"""What an answer says of its inputs, from requests and windows alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inference_server.forecast.input_warnings import (
    clip_warnings,
    clipped_at_the_end,
    clock_warnings,
    sampling_warnings,
    scale_warnings,
    timeframe_warnings,
)
from inference_server.schemas import ForecastSettings
from market.candles import candle_features
from market.instruments import Instrument
from market.warning_codes import WarningCode, code_of

SHANGHAI = Instrument("600519.SH", "equity", "XSHG", model_time_zone="Asia/Shanghai")
HOURS = np.datetime64("2024-06-03T01:30", "us") + np.arange(40) * np.timedelta64(1, "h")


def window(*last: float, quiet: float = 2.0, count: int = 397) -> np.ndarray:
    """Closes that hardly move, then the ones given."""
    close = np.concatenate([quiet + 0.05 * np.sin(np.arange(count)), last])
    return candle_features(close, close * 1.001, close * 0.999, close)


@pytest.mark.parametrize(
    ("fields", "codes", "words"),
    [
        ({"sample_count": 1, "top_p": 1.0}, [WarningCode.FEW_PATHS], "no envelope"),
        ({"sample_count": 2, "top_p": 1.0}, [WarningCode.FEW_PATHS], "hold 33% of what comes instead of 80%"),
        ({"sample_count": 5, "top_p": 1.0}, [WarningCode.FEW_PATHS], "hold 67% of"),
        ({"sample_count": 8, "top_p": 1.0}, [WarningCode.FEW_PATHS], "hold 78% of"),
        ({"sample_count": 9, "top_p": 1.0}, [], ""),
        ({"sample_count": 20}, [WarningCode.CUT_TAILS], "top_p 0.9 cuts"),
        ({"sample_count": 20, "top_k": 5, "top_p": 1.0}, [WarningCode.CUT_TAILS], "top_k 5 cuts"),
        ({}, [WarningCode.FEW_PATHS, WarningCode.CUT_TAILS], "sample_count of 9"),
    ],
)
def test_few_paths_and_cut_tails_are_said(fields: dict[str, Any], codes: list[str], words: str) -> None:
    found = sampling_warnings(ForecastSettings(**fields))
    assert [code_of(text) for text in found] == codes
    assert words in " ".join(found)


def test_the_coverage_that_is_stated_is_that_of_the_extremes_of_few_paths() -> None:
    rng = np.random.default_rng(0)
    for paths in (2, 5, 8):
        draws = rng.normal(size=(100_000, paths + 1))
        held = (draws[:, :-1].min(axis=1) <= draws[:, -1]) & (draws[:, -1] <= draws[:, :-1].max(axis=1))
        (text,) = sampling_warnings(ForecastSettings(sample_count=paths, top_p=1.0))
        assert f"{(paths - 1) / (paths + 1):.0%}" in text
        assert held.mean() == pytest.approx((paths - 1) / (paths + 1), abs=0.01)


def test_prices_that_are_scaled_are_said_with_their_spread() -> None:
    (text,) = scale_warnings(window() * 1e-5, upstream_scale=False)
    assert text.startswith("prices-scaled: prices were multiplied by 2^22")
    assert "smallest standard deviation is 3.5e-07" in text
    assert scale_warnings(window() * 1e-5, upstream_scale=True) == []
    assert scale_warnings(window(), upstream_scale=False) == []
    (flat,) = scale_warnings(np.full((40, 6), 3e-7), upstream_scale=False)
    assert "they never move" in flat


def test_a_jump_beyond_the_clip_is_said_with_what_the_model_sees() -> None:
    (text,) = clip_warnings(window(4.8, 5.28, 6.0), upstream_scale=False)
    assert text.startswith("clipped-candles: the close of the last 3 candles of 400 lies beyond 5 standard")
    assert "sees 3.50" in text
    assert "instead of 6," in text
    assert clip_warnings(window(), upstream_scale=False) == []
    assert "the last candle of 398" in clip_warnings(window(4.8), upstream_scale=False)[0]


def test_a_spike_that_is_over_is_no_jump() -> None:
    assert clip_warnings(window(6.0, 2.0), upstream_scale=False) == []


def test_a_jump_of_tiny_prices_is_judged_on_their_own_scale() -> None:
    (text,) = clip_warnings(window(4.8, 5.28, 6.0) * 1e-8, upstream_scale=False)
    assert "sees 3.50" in text
    assert "e-08 instead of 6e-08" in text


@pytest.mark.parametrize(
    ("values", "count"),
    [([0.0, 5.0, 5.0], 2), ([5.0, 1.0], 0), ([-5.0, 4.9, -5.0], 1), ([5.0, 5.0], 2), ([0.0], 0)],
)
def test_clipped_candles_are_counted_from_the_end(values: list[float], count: int) -> None:
    assert clipped_at_the_end(np.array(values)) == count


@pytest.mark.parametrize(
    ("trained", "used", "instrument", "expected"),
    [
        (None, "Asia/Shanghai", SHANGHAI, None),
        ("UTC", "UTC", None, None),
        ("UTC", "Asia/Shanghai", SHANGHAI, "trained with UTC"),
        ("Asia/Shanghai", "UTC", None, "trained with Asia/Shanghai"),
        ("instrument", "Asia/Shanghai", SHANGHAI, None),
        ("instrument", "UTC", SHANGHAI, "trained with Asia/Shanghai"),
        ("instrument", "UTC", None, None),
        ("PRC", "Asia/Shanghai", SHANGHAI, None),  # two names of one clock
    ],
)
def test_a_clock_other_than_the_checkpoint_s_is_said(
    trained: str | None, used: str, instrument: Instrument | None, expected: str | None
) -> None:
    found = clock_warnings(trained, used, instrument, HOURS)
    assert len(found) == (expected is not None)
    assert all(text.startswith("model-clock: ") and expected in text for text in found if expected)


def test_a_clock_that_only_the_table_knows_is_said_unless_one_is_asked_for() -> None:
    (text,) = clock_warnings(None, "UTC", SHANGHAI, HOURS)
    assert text.startswith("model-clock: ")
    assert "the table instruments says Asia/Shanghai: ask with time_zone Asia/Shanghai" in text
    assert clock_warnings(None, "UTC", SHANGHAI, HOURS, "UTC") == []
    assert len(clock_warnings(None, "UTC", replace(SHANGHAI, model_time_zone="Shangai"), HOURS)) == 1
    assert clock_warnings(None, "Asia/Shanghai", SHANGHAI, HOURS) == []


def test_dates_are_the_same_on_every_clock() -> None:
    days = np.arange("2024-06-03", "2024-07-03", dtype="datetime64[D]").astype("datetime64[us]")
    assert clock_warnings("UTC", "Asia/Shanghai", SHANGHAI, days) == []


@pytest.mark.parametrize(
    ("trained", "timeframe", "expected"),
    [
        (None, "1d", None),
        ({"1h": 900, "1d": 100}, "1h", None),
        ({"1h": 900, "1d": 100}, "1d", None),
        ({"1h": 901, "1d": 99}, "1d", "only 9.9% of the candles that this model was trained on are of 1d"),
        ({"1h": 600, "4h": 400}, "5m", "none of the candles that this model was trained on are of 5m"),
    ],
)
def test_a_timeframe_that_the_model_hardly_knows_is_said(
    trained: dict[str, int] | None, timeframe: str, expected: str | None
) -> None:
    found = timeframe_warnings(trained, timeframe)
    assert len(found) == (expected is not None)
    assert all(text.startswith("untrained-timeframe: ") and expected in text for text in found if expected)


def test_the_timeframes_to_forecast_instead_are_named() -> None:
    (text,) = timeframe_warnings({"1h": 600, "4h": 350, "1d": 50}, "1d")
    assert text.endswith(
        "most are of 1h, 4h: the width of the envelope is uncertain; forecast 1h, 4h, or train on 1d"
    )
