"""Tests the quantiles, the transform and the coverage of random walks of returns and of price differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.scoring.metrics import covered, fair_crps
from flows.scoring.random_walk import PriceWalk, RandomWalk, price_walk, random_walk

Z90 = 1.2815515655446004


def test_spreads_with_the_root_of_the_step_around_the_last_close() -> None:
    walk = random_walk([100, 101, 100], 4)
    volatility = np.log(1.01)
    assert walk.median == 100
    np.testing.assert_allclose(walk.sigma, volatility * np.sqrt([1, 2, 3, 4]))
    low, middle, high = walk.quantiles()
    np.testing.assert_allclose(middle, 100)
    np.testing.assert_allclose(low * high, 100.0**2)
    np.testing.assert_allclose(np.log(high[0] / 100), Z90 * volatility)


def test_a_price_that_may_be_negative_spreads_by_its_differences() -> None:
    walk = price_walk([1.0, -1.0, 0.0, 0.0], 4)
    assert walk.median == 0
    np.testing.assert_allclose(walk.sigma, np.sqrt(5 / 3) * np.sqrt([1, 2, 3, 4]))
    low, middle, high = walk.quantiles()
    np.testing.assert_allclose(middle, 0)
    np.testing.assert_allclose(high, Z90 * walk.sigma)
    np.testing.assert_allclose(low, -high)


def test_covers_four_fifths_of_a_random_walk() -> None:
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(400):
        path = np.cumsum(0.01 * rng.normal(size=224))
        for closes, walk in ((50 * np.exp(path), random_walk), (path, price_walk)):
            low, _, high = walk(closes[:200], 24).quantiles()
            hits.append(covered(low, high, closes[200:]))
    assert np.mean(hits[::2]) == pytest.approx(0.8, abs=0.03)
    assert np.mean(hits[1::2]) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("actual", [104.0, -3.0])
def test_the_crps_is_that_of_its_samples(actual: float) -> None:
    noise = np.random.default_rng(2).normal(size=(200_000, 1))
    sigma = np.array([0.1])
    for walk, paths in (
        (RandomWalk(100.0, sigma), 100 * np.exp(0.1 * noise)),
        (PriceWalk(100.0, 10 * sigma), 100 + noise),
    ):
        np.testing.assert_allclose(walk.crps([actual]), fair_crps(paths, [actual]), rtol=0.02)


def test_the_transform_is_the_share_below_the_close() -> None:
    sigma = np.array([0.1, 0.1, 0.0, 0.1, 0.1])
    up = [50.0, 50 * math.exp(0.1 * Z90), 50.0, np.nan, -3.0]
    np.testing.assert_allclose(RandomWalk(50.0, sigma).transform(up), [0.5, 0.9, np.nan, np.nan, np.nan])
    closes = [-2.0, -2 + 0.1 * Z90, -2.0, np.nan, -2 - 0.1 * Z90]
    np.testing.assert_allclose(PriceWalk(-2.0, sigma).transform(closes), [0.5, 0.9, np.nan, np.nan, 0.1])


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=9), st.integers(-1000, 1000))
def test_a_walk_of_differences_moves_with_a_constant(closes: list[float], shift: int) -> None:
    one, other = price_walk(closes, 3), price_walk(np.array(closes) + shift, 3)
    np.testing.assert_allclose(other.sigma, one.sigma, atol=1e-9)
    np.testing.assert_allclose(other.quantiles(), one.quantiles() + shift, atol=1e-9)
    actual = np.array([0.0, 1.0, -7.0])
    np.testing.assert_allclose(other.crps(actual + shift), one.crps(actual), atol=1e-8)


@pytest.mark.parametrize("closes", [[100.0], [100.0, 0.0], [100.0, -1.0], [100.0, np.nan]])
def test_refuses_closes_without_returns(closes: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two closes, all above 0"):
        random_walk(closes, 1)


@pytest.mark.parametrize("closes", [[100.0], [100.0, np.nan], [-1.0, np.inf]])
def test_refuses_closes_without_differences(closes: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two closes, all finite"):
        price_walk(closes, 1)
