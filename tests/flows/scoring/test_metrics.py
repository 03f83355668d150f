"""Tests losses and hits against values worked out by hand, and properties that hold for all inputs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flows.scoring.metrics import (
    covered,
    direction_hit,
    fair_crps,
    lognormal_crps,
    normal_crps,
    pinball,
    score_steps,
)

NAN = math.nan
prices = st.floats(0.1, 1e5)


@pytest.mark.parametrize(
    ("low", "high", "actual", "expected"),
    [
        (1, 3, 2, 1),
        (1, 3, 1, 1),
        (1, 3, 3, 1),
        (1, 3, 0.9, 0),
        (1, 3, 3.1, 0),
        (1, 3, NAN, NAN),
        (NAN, 3, 2, NAN),
    ],
)
def test_covered(low: float, high: float, actual: float, expected: float) -> None:
    np.testing.assert_equal(covered([low], [high], [actual])[0], expected)


@pytest.mark.parametrize(
    ("quantile", "actual", "level", "loss"),
    [
        (10, 12, 0.9, 1.8),
        (10, 8, 0.9, 0.2),
        (10, 8, 0.1, 1.8),
        (10, 10, 0.5, 0),
        (10, 14, 0.5, 2),
        (10, NAN, 0.5, NAN),
    ],
)
def test_pinball(quantile: float, actual: float, level: float, loss: float) -> None:
    np.testing.assert_allclose(pinball(quantile, actual, level), loss)


@given(hnp.arrays(np.float64, st.integers(5, 60), elements=prices), st.sampled_from([0.1, 0.5, 0.9]), prices)
def test_no_quantile_beats_the_empirical_one(closes: np.ndarray, level: float, other: float) -> None:
    best = np.quantile(closes, level, method="inverted_cdf")
    assert pinball(best, closes, level).mean() <= pinball(other, closes, level).mean() + 1e-9


@pytest.mark.parametrize(
    ("forecast", "actual", "expected"),
    [(11, 12, 1), (9, 12, 0), (9, 8, 1), (10, 12, NAN), (11, 10, NAN), (11, NAN, NAN)],
)
def test_direction(forecast: float, actual: float, expected: float) -> None:
    np.testing.assert_equal(direction_hit([forecast], [actual], 10.0)[0], expected)


@given(st.data())
def test_the_fair_crps_is_its_definition(data: st.DataObject) -> None:
    paths = data.draw(
        hnp.arrays(np.float64, st.tuples(st.integers(2, 12), st.integers(1, 4)), elements=prices)
    )
    actual = data.draw(hnp.arrays(np.float64, paths.shape[1], elements=prices))
    m = len(paths)
    spread = np.abs(paths[:, None] - paths[None]).sum(axis=(0, 1)) / (2 * m * (m - 1))
    expected = np.abs(paths - actual).mean(axis=0) - spread
    np.testing.assert_allclose(fair_crps(paths, actual), expected, rtol=1e-9, atol=1e-6)


def test_the_fair_crps_does_not_reward_more_paths() -> None:
    rng = np.random.default_rng(1)
    actual = rng.normal(size=40_000)
    few, many = (fair_crps(rng.normal(size=(m, 40_000)), actual).mean() for m in (2, 50))
    assert few == pytest.approx(1 / math.sqrt(math.pi), abs=0.015)  # E|X − Y| / 2 of two standard normals
    assert many == pytest.approx(few, abs=0.015)


@pytest.mark.parametrize("paths", [np.zeros((1, 3)), np.zeros(3)])
def test_one_path_has_no_fair_crps(paths: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sample_count ≥ 2"):
        fair_crps(paths, np.zeros(3))


@pytest.mark.parametrize(
    ("median", "sigma", "actual"),
    [(100, 0.02, 103), (1.1, 0.3, 0.7), (50, 0.1, 50), (2, 0.5, 0), (20, 0.3, -37.6)],
)
def test_the_lognormal_crps_is_that_of_its_samples(median: float, sigma: float, actual: float) -> None:
    paths = median * np.exp(sigma * np.random.default_rng(2).normal(size=(200_000, 1)))
    assert lognormal_crps(median, sigma, actual) == pytest.approx(fair_crps(paths, [actual])[0], rel=0.02)


@pytest.mark.parametrize(("median", "sigma", "actual"), [(1.5, 0.4, 1.2), (0, 2, -3), (-40, 0.1, -40)])
def test_the_normal_crps_is_that_of_its_samples(median: float, sigma: float, actual: float) -> None:
    paths = median + sigma * np.random.default_rng(2).normal(size=(200_000, 1))
    assert normal_crps(median, sigma, actual) == pytest.approx(fair_crps(paths, [actual])[0], rel=0.02)
    np.testing.assert_allclose(normal_crps(median, 0.0, [actual, NAN]), [abs(actual - median), NAN])
    assert np.isnan(normal_crps(median, 1.0, NAN))


def test_a_certain_forecast_has_its_error_as_crps() -> None:
    np.testing.assert_allclose(lognormal_crps([10.0, 10.0], 0.0, [12.0, NAN]), [2.0, NAN])


def test_an_unknown_spread_has_no_crps() -> None:
    np.testing.assert_allclose(lognormal_crps(10.0, [NAN, 0.0], 12.0), [NAN, 2.0])


def test_a_forecast_is_scored_step_by_step() -> None:
    scores = score_steps(
        [[9.0, 9.0, 9.0], [10.5, 10.5, 10.5], [11.0, 11.0, 11.0]],
        [10.5, 12.0, NAN],
        10.0,
        calibrated=([8, 8, 8], [12, 12, 12]),
        paths=[[10, 11, 10], [11, 12, 10]],
    )
    np.testing.assert_equal(scores.covered, [1, 0, NAN])
    np.testing.assert_equal(scores.covered_calibrated, [1, 1, NAN])
    np.testing.assert_equal(scores.abs_error, [0, 1.5, NAN])
    np.testing.assert_equal(scores.direction_hit, [1, 1, NAN])
    np.testing.assert_allclose(scores.pinball, [(0.15 + 0 + 0.05) / 3, (0.3 + 0.75 + 0.9) / 3, NAN])
    np.testing.assert_allclose(scores.crps, [0.0, 0.0, NAN], atol=1e-12)


def test_figures_without_their_inputs_are_nan() -> None:
    scores = score_steps([[9], [10], [11]], [10.5], NAN)
    for values in (scores.covered_calibrated, scores.crps, scores.direction_hit):
        assert np.isnan(values).all()
