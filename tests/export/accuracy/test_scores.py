import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from export.accuracy.scores import effective_paths, weighted_crps, weighted_width, weights_of
from flows.scoring.metrics import fair_crps
from market.envelope import envelope

SHAPE = (7, 3)
prices = hnp.arrays(np.float64, SHAPE, elements=st.floats(1, 100))
ratios = hnp.arrays(np.float64, SHAPE, elements=st.floats(-3, 3))
actuals = hnp.arrays(np.float64, SHAPE[1:], elements=st.floats(1, 100))


@given(prices, ratios, actuals)
def test_the_score_is_its_definition(paths: np.ndarray, ratio: np.ndarray, actual: np.ndarray) -> None:
    weights = np.exp(ratio) / np.exp(ratio).sum(axis=0)
    np.testing.assert_allclose(weights_of(ratio), weights)
    found = weighted_crps(paths, weights, actual)
    for step in range(SHAPE[1]):
        x, w, y = paths[:, step], weights[:, step], actual[step]
        error = sum(w[i] * abs(x[i] - y) for i in range(len(x)))
        spread = sum(w[i] * w[j] * abs(x[i] - x[j]) for i in range(len(x)) for j in range(len(x)))
        expected = error - spread / (2 * (1 - sum(w**2)))
        assert found[step] == pytest.approx(expected, abs=1e-9)


@given(prices, actuals)
def test_equal_weights_give_the_scores_of_the_product(paths: np.ndarray, actual: np.ndarray) -> None:
    equal = np.full(SHAPE, 1 / SHAPE[0])
    np.testing.assert_allclose(weighted_crps(paths, equal, actual), fair_crps(paths, actual), atol=1e-9)
    low, _, high = envelope(paths)
    # Of seven paths p10 and p90 are the outermost.
    np.testing.assert_allclose(weighted_width(paths, equal), high - low, atol=1e-9)
    np.testing.assert_allclose(effective_paths(equal), SHAPE[0])


def test_equal_weights_give_the_envelope_of_many_paths() -> None:
    paths = np.random.default_rng(0).normal(size=(57, 4))
    low, _, high = envelope(paths)
    np.testing.assert_allclose(weighted_width(paths, np.full(paths.shape, 1 / 57)), high - low)


def test_a_path_without_weight_does_not_count() -> None:
    rng = np.random.default_rng(1)
    paths, actual = rng.normal(size=(6, 2)), rng.normal(size=2)
    weights = np.full((6, 2), 0.2)
    weights[2] = 0
    rest = np.delete(paths, 2, axis=0)
    np.testing.assert_allclose(weighted_crps(paths, weights, actual), fair_crps(rest, actual))
    np.testing.assert_allclose(effective_paths(weights), 5)


def test_weights_turn_draws_of_one_distribution_into_those_of_another() -> None:
    """Draws of N(0, 1) with the weights of N(0, 1.1²) score and spread as draws of the latter do."""
    rng = np.random.default_rng(2)
    draws, spread = rng.normal(size=(40_000, 1)), 1.1
    ratio = draws**2 / 2 - (draws / spread) ** 2 / 2 - np.log(spread)
    weights, actual = weights_of(ratio), np.array([0.4])
    others = spread * rng.normal(size=(40_000, 1))
    equal = np.full(others.shape, 1 / len(others))
    assert weighted_crps(draws, weights, actual) == pytest.approx(
        weighted_crps(others, equal, actual), rel=0.02
    )
    assert weighted_width(draws, weights) == pytest.approx(2 * 1.2816 * spread, rel=0.02)
    assert 0.9 < effective_paths(weights)[0] / len(draws) < 1
