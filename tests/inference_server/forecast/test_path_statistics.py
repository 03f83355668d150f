"""Statistics of paths against loops in plain Python, and the rules that they keep for any paths."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference_server.forecast.path_statistics import (
    beyond_paths,
    probability_above,
    probability_touched,
    quantiles,
    realised_volatility,
)
from market.envelope import LEVELS, envelope

PRICE = st.floats(-50, 200, allow_subnormal=False)
PATHS = arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 6), st.just(4)), elements=PRICE)
PRICES = st.lists(PRICE, min_size=1, max_size=4)


def weibull(values: list[float], level: float) -> float:
    """The quantile at position level · (n + 1) of the sorted values, held to the lowest and the highest."""
    ordered = sorted(values)
    position = min(max(level * (len(ordered) + 1), 1), len(ordered))
    below = math.floor(position)
    above = min(below + 1, len(ordered))
    share = position - below
    return ordered[below - 1] * (1 - share) + ordered[above - 1] * share


def touched(path: np.ndarray, last_close: float, level: float, step: int) -> bool:
    for candle in path[: step + 1]:
        if level >= last_close and max(candle) >= level:
            return True
        if level < last_close and min(candle) <= level:
            return True
    return False


@given(PATHS, st.lists(st.floats(0.001, 0.999), min_size=1, max_size=5))
def test_quantiles_are_weibull_s(paths: np.ndarray, levels: list[float]) -> None:
    found = quantiles(paths, levels)
    expected = [
        [[weibull(paths[:, step, i].tolist(), level) for i in range(4)] for step in range(paths.shape[1])]
        for level in levels
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


@given(PATHS)
def test_the_envelope_s_levels_give_the_envelope(paths: np.ndarray) -> None:
    np.testing.assert_array_equal(quantiles(paths[:, :, 3], LEVELS), envelope(paths[:, :, 3]))


@given(PATHS, PRICES)
def test_probability_above_counts_paths(paths: np.ndarray, prices: list[float]) -> None:
    closes = paths[:, :, 3]
    expected = [
        [sum(path[step] > price for path in closes) / len(closes) for step in range(closes.shape[1])]
        for price in prices
    ]
    np.testing.assert_array_equal(probability_above(closes, prices), expected)


@given(PATHS, PRICE, PRICES)
def test_probability_touched_counts_paths(paths: np.ndarray, last: float, levels: list[float]) -> None:
    expected = [
        [sum(touched(path, last, level, k) for path in paths) / len(paths) for k in range(paths.shape[1])]
        for level in [*levels, last]
    ]
    np.testing.assert_array_equal(probability_touched(paths, last, [*levels, last]), expected)


@given(PATHS, PRICE, PRICES)
def test_probabilities_keep_their_order(paths: np.ndarray, last: float, prices: list[float]) -> None:
    ordered = sorted(prices)
    above = probability_above(paths[:, :, 3], ordered)
    touch = probability_touched(paths, last, ordered)
    assert (np.diff(above, axis=0) <= 0).all()
    assert (np.diff(touch, axis=1) >= 0).all()
    upper = np.array(ordered) >= last
    assert (np.diff(touch[upper], axis=0) <= 0).all()
    assert (np.diff(touch[~upper], axis=0) >= 0).all()
    assert (touch[upper] >= above[upper]).all()
    for row, price in zip(touch[~upper], np.array(ordered)[~upper], strict=True):
        assert (row >= (paths[:, :, 3] <= price).mean(axis=0)).all()
    for shares in (above, touch):
        assert ((shares >= 0) & (shares <= 1)).all()


@given(PATHS, st.floats(-5, 200))
def test_realised_volatility_is_the_root_of_summed_squares(paths: np.ndarray, last: float) -> None:
    closes = paths[:, :, 3]
    found = realised_volatility(closes, last)
    for path, row in zip(closes, found, strict=True):
        before, total = last, 0.0
        for close, value in zip(path, row, strict=True):
            if before <= 0 or close <= 0:
                total = math.nan
            else:
                total += (math.log(close) - math.log(before)) ** 2
            before = close
            assert value == pytest.approx(math.sqrt(total), rel=1e-9, abs=1e-7, nan_ok=True)


def test_realised_volatility_of_a_known_path() -> None:
    path = np.exp([[0.01, 0.01, -0.02, 0.02]])  # log returns 0.01, 0, -0.03, 0.04
    expected = np.sqrt([[0.0001, 0.0001, 0.001, 0.0026]])
    np.testing.assert_allclose(realised_volatility(path, 1.0), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("levels", "paths", "beyond"),
    [
        ([0.1, 0.5, 0.9], 9, []),
        ([0.1, 0.5, 0.9], 8, [0.1, 0.9]),
        ([0.05, 0.95], 19, []),
        ([0.01, 0.05, 0.95, 0.99], 20, [0.01, 0.99]),
        ([0.5], 1, []),
        ([5e-324, 0.4], 256, [5e-324]),
    ],
)
def test_levels_that_so_few_paths_cannot_tell(levels: list[float], paths: int, beyond: list[float]) -> None:
    assert beyond_paths(levels, paths) == beyond
    values = np.random.default_rng(0).normal(size=(paths, 1))
    for level, (value,) in zip(levels, quantiles(values, levels), strict=True):
        if level in beyond:
            assert value in (values.min(), values.max())
