"""Inputs that upstream's users have and the real series lack: local times without a zone, tiny prices."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference_server.engine.jobs import ForecastJob
from market.candles import candle_features
from market.normalise import scale_exponents
from market.time_features import time_features
from tests.helpers.oracle import oracle_paths
from tests.helpers.real_windows import real_job
from tests.market.test_normalise import minutes
from tests.parity.checks import RTOL, assert_same
from tests.parity.conftest import Pair

# The open of every five-minute candle of an A-share's day, as upstream's own fixture has them: local, naive.
SESSION = np.concatenate(
    [
        np.arange(start, end, np.timedelta64(5, "m"), dtype="datetime64[m]")
        - np.datetime64("2024-06-03", "m")
        for start, end in (("2024-06-03T09:35", "2024-06-03T11:35"), ("2024-06-03T13:05", "2024-06-03T15:05"))
    ]
)
DAYS = np.array(["2024-06-03", "2024-06-04", "2024-06-05"], "datetime64[m]")
LOCAL = (DAYS[:, None] + SESSION).reshape(-1).astype("datetime64[us]")
EIGHT_HOURS = np.timedelta64(8, "h")  # Shanghai is ahead of UTC by so much all year


@pytest.fixture(scope="module")
def tiny(pair: Callable[[str], Pair]) -> Pair:
    return pair("tiny")


def a_share(seed: int = 2, length: int = 120, **settings: Any) -> ForecastJob:
    """Five-minute candles of a share around 6 yuan, in Shanghai's time without a zone."""
    rng = np.random.default_rng(seed)
    close = 6 * np.exp(rng.normal(0, 2e-3, length).cumsum()).round(3)
    open_ = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(open_, close) + 0.01, np.minimum(open_, close) - 0.01
    candles = candle_features(open_, high, low, close, rng.integers(100, 9_000, length).astype(float))
    return ForecastJob(candles, LOCAL[:length], LOCAL[length : length + 10], **settings)


def test_a_naive_local_series_is_upstream_s_as_it_stands(tiny: Pair) -> None:
    """Without a zone times are UTC, so that the model reads them off as upstream does."""
    assert_same(tiny, a_share(top_k=1))
    assert_same(tiny, a_share(sample_count=2, seed=7))


def test_the_same_series_with_its_zone_is_upstream_s_on_the_exchange_s_clock(tiny: Pair) -> None:
    naive = a_share(top_k=1)
    aware = replace(
        naive,
        timestamps=naive.timestamps - EIGHT_HOURS,
        future_timestamps=naive.future_timestamps - EIGHT_HOURS,
        time_zone="Asia/Shanghai",
    )
    local, shanghai, utc = tiny.engine.forecast([naive, aware, replace(aware, time_zone="UTC")])
    np.testing.assert_array_equal(shanghai, local)
    assert not np.array_equal(utc, local)
    theirs = oracle_paths(tiny.oracle, naive)
    np.testing.assert_allclose(shanghai, theirs, rtol=1e-4, atol=1e-4 * naive.candles.std(axis=0).max())
    np.testing.assert_array_equal(
        time_features(aware.timestamps, "Asia/Shanghai"), time_features(naive.timestamps)
    )


def test_tiny_prices_are_upstream_s_where_upstream_s_scale_is_asked_for(tiny: Pair) -> None:
    job = a_share(top_k=1)
    opens, highs, lows, closes = (job.candles[:, :4] * 1e-6).T
    small = replace(job, candles=candle_features(opens, highs, lows, closes, job.candles[:, 4]))
    assert_same(tiny, replace(small, upstream_scale=True))


@pytest.mark.parametrize("symbol", ["BTC-USD", "XAUUSD", "SPY", "EURUSD"])
def test_scaled_prices_are_what_upstream_makes_of_them_in_the_larger_unit(
    tiny: Pair, market_data: Path, symbol: str
) -> None:
    ordinary = real_job(market_data, symbol, 3_000, 392, 12, top_k=1)
    assert not scale_exponents(ordinary.candles).any()
    opens, highs, lows, closes = (ordinary.candles[:, :4] * 1e-9).T
    small = replace(ordinary, candles=candle_features(opens, highs, lows, closes, ordinary.candles[:, 4]))
    exponents = scale_exponents(small.candles)
    scaled = replace(small, candles=np.ldexp(small.candles, exponents))
    (ours,) = tiny.engine.forecast([small])
    theirs = oracle_paths(tiny.oracle, scaled)
    allowed = RTOL * np.maximum(np.abs(theirs), scaled.candles.std(axis=0))
    assert (np.abs(np.ldexp(ours, exponents) - theirs) <= allowed).all()


@pytest.mark.parametrize(
    ("price", "hourly"),
    [(60_000.0, 5e-3), (2_000.0, 1.5e-3), (400.0, 3e-3), (1.1, 1e-3)],
    ids=["BTC", "gold", "shares", "EURUSD"],
)
def test_minutes_of_ordinary_prices_are_upstream_s(tiny: Pair, price: float, hourly: float) -> None:
    """Generated, as no real ones are at hand."""
    times = np.datetime64("2024-06-03T08:00", "us") + np.arange(404) * np.timedelta64(1, "m")
    assert_same(tiny, ForecastJob(minutes(price, hourly), times[:392], times[392:], top_k=1))
