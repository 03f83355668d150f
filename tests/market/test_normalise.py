from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from market.candles import candle_features
from market.normalise import SMALLEST_SPREAD, normalise, scale_exponents, smallest_spread

WINDOWS = hnp.arrays(np.float64, st.tuples(st.integers(2, 60), st.just(6)), elements=st.floats(-1e6, 1e6))
PRICES = ("open", "high", "low", "close")


def market(spread: float, *, level: float = 20.0, length: int = 60, seed: int = 0) -> np.ndarray:
    """A window whose closes have about this standard deviation around `level` times as much."""
    rng = np.random.default_rng(seed)
    close = rng.normal(size=length).cumsum()
    close = spread * (level + (close - close.mean()) / close.std())
    open_ = np.concatenate([close[:1], close[:-1]])
    wick = spread * 0.1 * rng.uniform(size=(2, length))
    high, low = np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1]
    return candle_features(open_, high, low, close, rng.uniform(10, 20, length))


def with_prices_times(window: np.ndarray, factor: float) -> np.ndarray:
    """The same market quoted in another unit; its amount is made again, as for any candles."""
    opened, high, low, close = (window[:, :4] * factor).T
    return candle_features(opened, high, low, close, window[:, 4])


def upstreams(window: np.ndarray) -> np.ndarray:
    x = np.asfortranarray(window, np.float32)
    scaled: np.ndarray = np.clip((x - x.mean(axis=0)) / (x.std(axis=0) + np.float32(1e-5)), -5, 5)
    return scaled


@given(WINDOWS)
def test_values_are_within_the_clip_and_restore_what_was_not_clipped(candles: np.ndarray) -> None:
    scaled = normalise(candles)
    assert scaled.values.dtype == np.float32
    assert scaled.values.flags.c_contiguous
    assert np.abs(scaled.values).max() <= 5
    inside = np.abs(scaled.values) < 5
    # Float32 keeps about 7 digits of the largest value of a feature.
    error = np.abs(scaled.restore(scaled.values) - candles)
    assert (error <= 1e-5 * (np.abs(candles).max(axis=0) + 1))[inside].all() or not inside.any()


def test_a_feature_that_never_moves_is_zero_and_comes_back() -> None:
    candles = np.full((40, 6), 7.0)
    scaled = normalise(candles)
    assert not scaled.values.any()
    np.testing.assert_allclose(scaled.restore(scaled.values), candles)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("level", [1e4, 1e-4])
def test_the_caller_s_layout_does_not_matter(order: str, level: float) -> None:
    candles = np.random.default_rng(0).normal(level, level / 1e3, (500, 6))
    laid_out = np.asarray(candles, order=order)  # type: ignore[call-overload]
    np.testing.assert_array_equal(normalise(laid_out).values, normalise(candles).values)


@pytest.mark.parametrize("spread", [2e-4, 1e-3, 1.0, 1e4])
def test_ordinary_prices_are_normalised_as_upstream_does(spread: float) -> None:
    window = market(spread)
    np.testing.assert_array_equal(normalise(window).values, upstreams(window))
    assert not scale_exponents(window).any()


def test_upstream_s_scale_can_be_had_for_any_price() -> None:
    window = market(1e-7)
    np.testing.assert_array_equal(normalise(window, upstream_scale=True).values, upstreams(window))
    assert np.abs(upstreams(window)[:, :4]).max() < 0.05  # what the scale is for: the spread is drowned


@pytest.mark.parametrize("spread", [9e-5, 1.4e-6, 1e-10, 1e-30])
def test_a_small_spread_is_seen_and_generated_prices_stay_near_it(spread: float) -> None:
    window = market(spread)
    scale = normalise(window)
    assert scale.values[:, 3].std() == pytest.approx(1.0, abs=1e-3)
    back = scale.restore(np.full((1, 6), -5.0, np.float32))[0, :4]
    np.testing.assert_allclose(back / spread, window[:, :4].mean(0) / spread - 5, rtol=0.03)
    assert (back > 0).all()


@given(
    seed=st.integers(0, 2**32),
    exponent=st.integers(-60, -15),
    power=st.integers(-40, 0),
    level=st.sampled_from([0.0, 3.0, 40.0, 3_000.0]),
)
def test_between_powers_of_two_small_prices_give_the_same_bits(
    seed: int, exponent: int, power: int, level: float
) -> None:
    window = market(2.0**exponent, level=level, seed=seed)
    other = with_prices_times(window, 2.0**power)
    one, two = normalise(window), normalise(other)
    np.testing.assert_array_equal(one.values, two.values)
    generated = np.random.default_rng(seed).normal(size=(3, 6)).astype(np.float32)
    factor = np.array([2.0**power] * 4 + [1.0, 2.0**power], np.float32)
    np.testing.assert_array_equal(one.restore(generated) * factor, two.restore(generated))


@given(
    seed=st.integers(0, 2**32),
    spread=st.floats(1e-30, 9e-5),
    factor=st.floats(1e-6, 1e9),
    level=st.sampled_from([3.0, 40.0]),
)
def test_with_any_other_factor_small_prices_come_back_within_a_ten_thousandth(
    seed: int, spread: float, factor: float, level: float
) -> None:
    """Also where the factor lifts them above the threshold, as for a coin quoted per million."""
    window = market(spread, level=level, seed=seed)
    other = with_prices_times(window, factor)
    lifted = smallest_spread(other[:, :4])
    if SMALLEST_SPREAD <= lifted < 0.2:
        return  # upstream's own arithmetic, whose epsilon weighs up to a tenth
    one, two = normalise(window), normalise(other)
    np.testing.assert_allclose(one.values[:, :4], two.values[:, :4], atol=3e-4)
    generated = np.random.default_rng(seed).normal(size=(20, 6)).clip(-3, 3).astype(np.float32)
    theirs, ours = one.restore(generated)[:, :4] * factor, two.restore(generated)[:, :4]
    deviation = other[:, :4].std(axis=0)
    assert (np.abs(theirs - ours) <= 1e-4 * (np.abs(ours) + deviation)).all()


def test_prices_that_never_move_are_brought_to_their_level() -> None:
    window = candle_features(*np.full((4, 40), 1.1e-8))
    scale = normalise(window)
    assert not scale.values.any()
    back = scale.restore(np.array([[-5, -5, -5, -5, 0, 0]], np.float32))[0, :4]
    np.testing.assert_allclose(back, 1.1e-8, rtol=1e-4)


def test_a_price_that_never_moves_beside_others_that_do_leaves_the_window_upstream_s() -> None:
    window = market(1.0)
    window[:, 0] = 0.0  # as feeds without opens have it
    np.testing.assert_array_equal(normalise(window).values, upstreams(window))


def test_the_digits_that_float32_lacks_are_not_taken_for_a_spread() -> None:
    window = market(1.0)
    window[:, :4] = 0.1 + 1e-12 * window[:, :4]
    assert np.abs(normalise(window).values[:, :4]).max() < 0.5


def test_prices_of_very_different_size_do_not_overflow() -> None:
    window = market(1e-300)
    window[:, 1] = np.linspace(1e16, 1e17, len(window))
    scale = normalise(window)
    assert np.isfinite(scale.values).all()
    assert np.isfinite(scale.restore(scale.values)).all()


@pytest.mark.parametrize(
    ("symbol", "timeframe"),
    [("BTC-USD", "1h"), ("XAUUSD", "1h"), ("SPY", "1h"), ("NVDA", "1d"), ("EURUSD", "1h"), ("USDJPY", "1h")],
)
def test_real_prices_keep_upstream_s_bits(market_data: Path, symbol: str, timeframe: str) -> None:
    columns = pl.read_parquet(market_data / f"candles_{timeframe}.parquet").filter(pl.col("symbol") == symbol)
    candles = candle_features(*(columns[name].to_numpy() for name in (*PRICES, "volume")))
    starts = np.random.default_rng(0).integers(0, len(candles) - 392, 200)
    spreads = [smallest_spread(candles[start : start + 392, :4]) for start in starts]
    assert min(spreads) > 2 * SMALLEST_SPREAD
    for start in starts[:20]:
        window = candles[start : start + 392]
        np.testing.assert_array_equal(normalise(window).values, upstreams(window))


def minutes(price: float, hourly: float, count: int = 392) -> np.ndarray:
    """Generated one-minute candles: a random walk with a spread per hour as real candles have it."""
    rng = np.random.default_rng(1)
    close = price * np.exp(rng.normal(0, hourly / 60**0.5, count).cumsum())
    open_ = np.concatenate([[price], close[:-1]])
    wick = price * hourly / 60**0.5 * rng.uniform(0, 0.5, (2, count))
    return candle_features(
        open_, np.maximum(open_, close) + wick[0], np.minimum(open_, close) - wick[1], close
    )


@pytest.mark.parametrize(
    ("price", "hourly"),
    [(60_000.0, 5e-3), (2_000.0, 1.5e-3), (400.0, 3e-3), (1.1, 1e-3), (1.1, 4e-4)],
    ids=["BTC", "gold", "shares", "EURUSD", "EURUSD in a quiet week"],
)
def test_minutes_keep_upstream_s_bits(price: float, hourly: float) -> None:
    """Generated, as no real ones are at hand."""
    window = minutes(price, hourly)
    assert smallest_spread(window[:, :4]) > SMALLEST_SPREAD
    np.testing.assert_array_equal(normalise(window).values, upstreams(window))
