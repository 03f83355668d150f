"""Tests the quantiles of the random walk, and their coverage of simulated walks."""

import numpy as np
import pytest

from flows.scoring.metrics import covered
from flows.scoring.random_walk import random_walk


def test_spreads_with_the_root_of_the_step_around_the_last_close() -> None:
    walk = random_walk([100, 101, 100], 4)
    volatility = np.log(1.01)
    assert walk.median == 100
    np.testing.assert_allclose(walk.sigma, volatility * np.sqrt([1, 2, 3, 4]))
    low, middle, high = walk.quantiles()
    np.testing.assert_allclose(middle, 100)
    np.testing.assert_allclose(low * high, 100.0**2)
    np.testing.assert_allclose(np.log(high[0] / 100), 1.2815515655446004 * volatility)


def test_covers_four_fifths_of_a_random_walk() -> None:
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(400):
        closes = 50 * np.exp(np.cumsum(0.01 * rng.normal(size=224)))
        low, _, high = random_walk(closes[:200], 24).quantiles()
        hits.append(covered(low, high, closes[200:]))
    assert np.mean(hits) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("closes", [[100.0], [100.0, 0.0], [100.0, -1.0], [100.0, np.nan]])
def test_refuses_closes_without_returns(closes: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two closes, all above 0"):
        random_walk(closes, 1)
