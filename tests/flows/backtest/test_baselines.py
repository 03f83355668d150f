"""Baselines of a window: known volatilities, and what has none."""

import numpy as np
import pytest

from flows.backtest.baselines import (
    BASELINES,
    HISTORICAL_VOLATILITY,
    PERSISTENCE,
    RANDOM_WALK,
    baseline_forecasts,
)

RETURNS = np.array([0.05, *[0.01, -0.01] * 10])  # 21, so that the first is older than 20 candles
CLOSES = 50 * np.exp(np.concatenate([[0.0], np.cumsum(RETURNS)]))


def test_all_start_from_the_last_close_and_are_named() -> None:
    made = baseline_forecasts(CLOSES, 3)
    assert tuple(made) == BASELINES
    assert {each.median for each in made.values()} == {CLOSES[-1]}


def test_historical_volatility_is_the_standard_deviation_of_the_last_20_returns() -> None:
    made = baseline_forecasts(CLOSES, 4)
    one = 0.01 * np.sqrt(20 / 19)
    np.testing.assert_allclose(made[HISTORICAL_VOLATILITY].sigma, one * np.sqrt([1, 2, 3, 4]))
    assert made[RANDOM_WALK].sigma[0] > made[HISTORICAL_VOLATILITY].sigma[0]
    longer = baseline_forecasts(np.concatenate([[10.0, 90.0, 20.0], CLOSES]), 4)
    np.testing.assert_allclose(longer[HISTORICAL_VOLATILITY].sigma, made[HISTORICAL_VOLATILITY].sigma)


def test_persistence_is_the_last_close_without_width() -> None:
    quantiles = baseline_forecasts(CLOSES, 2)[PERSISTENCE].quantiles()
    np.testing.assert_allclose(quantiles, CLOSES[-1])


@pytest.mark.parametrize("closes", [[1.0], [1.0, 2.0], [1.0, 0.0, 2.0], [1.0, -1.0, 2.0]])
def test_unusable_closes_are_refused(closes: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least (two|three)"):
        baseline_forecasts(closes, 2)
