"""Splits for which a history is not adjusted, and other steps."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from market.splits import find_splits

RNG = np.random.default_rng(3)
HOUR = np.timedelta64(3_600_000_000, "us")


def series(
    factor: float = 1.0, *, at: int = 200, volatility: float = 0.004, night: float = 0.01
) -> np.ndarray:
    """400 candles; from row `at` on prices are divided by `factor`."""
    closes = 100 * np.exp(RNG.normal(0, volatility, 400).cumsum())
    opens = np.append(100, closes[:-1])
    opens[at] *= np.exp(night)
    highs, lows = np.maximum(opens, closes) * 1.002, np.minimum(opens, closes) * 0.998
    candles = np.column_stack([opens, highs, lows, closes, np.ones(400), np.ones(400)])
    candles[at:, :4] /= factor
    return candles


STAMPS = np.datetime64("2026-01-05", "us") + np.arange(400) * HOUR


@pytest.mark.parametrize(
    ("factor", "ratio"),
    [(1.5, "3:2"), (2, "2:1"), (3, "3:1"), (4, "4:1"), (10, "10:1"), (20, "20:1"), (0.5, "1:2"),
     (0.1, "1:10"), (1 / 25, "1:25")],
)  # fmt: skip
@pytest.mark.parametrize("night", [-0.03, 0.0, 0.04])
def test_splits_are_named_with_their_row_and_ratio(factor: float, ratio: str, night: float) -> None:
    splits = find_splits(STAMPS, series(factor, night=night))
    assert [(split.row, split.ratio) for split in splits] == [(200, ratio)]


@pytest.mark.parametrize("factor", [1.0, 1.2, 1 / 1.2, 2.4])
def test_other_steps_are_none(factor: float) -> None:
    assert find_splits(STAMPS, series(factor)) == []


def test_a_crash_within_candles_is_none() -> None:
    candles = series(2)
    candles[200, [0, 1]] = candles[199, 3]  # opens where the last one closed, and falls
    assert find_splits(STAMPS, candles) == []


def test_a_wild_market_that_halves_is_none() -> None:
    assert find_splits(STAMPS, series(2, volatility=0.08)) == []


def test_a_step_over_a_hole_is_none() -> None:
    stamps = STAMPS.copy()
    stamps[200:] += 24 * 40 * HOUR
    assert find_splits(stamps, series(2)) == []


def test_prices_of_zero_and_short_windows_are_passed_over() -> None:
    candles = series(2)
    candles[50, 2] = 0.0
    assert [split.row for split in find_splits(STAMPS, candles)] == [200]
    for count in range(3):
        assert find_splits(STAMPS[:count], candles[:count]) == []


@pytest.mark.parametrize("timeframe", ["1h", "1d"])
def test_real_series_which_are_adjusted_have_none(market_data: Path, timeframe: str) -> None:
    frame = pl.read_parquet(market_data / f"candles_{timeframe}.parquet").sort("symbol", "timestamp")
    for (symbol,), part in frame.group_by("symbol", maintain_order=True):
        stamps = part["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
        candles = part.select("open", "high", "low", "close").to_numpy()
        for end in range(512, len(part) + 512, 512):
            assert find_splits(stamps[end - 512 : end], candles[end - 512 : end]) == [], (symbol, end)
