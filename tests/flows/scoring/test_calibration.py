"""Tests the conformal quantile, the widening, and the coverage of a later period."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flows.scoring.calibration import FEWEST_RESIDUALS, Calibration, calibrate, conformal_quantile, learn


@pytest.mark.parametrize(
    ("count", "coverage", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.9, 90), (4, 0.8, 4), (8, 0.9, None)],
)
def test_the_rank_has_the_finite_sample_correction(count: int, coverage: float, rank: int | None) -> None:
    scores = np.random.default_rng(0).permutation(np.arange(1.0, count + 1))
    assert conformal_quantile(scores, coverage) == (math.inf if rank is None else rank)


@given(hnp.arrays(np.float64, st.integers(20, 80), elements=st.floats(-5, 5)))
def test_at_least_the_promised_share_lies_below(scores: np.ndarray) -> None:
    assert (scores <= conformal_quantile(scores, 0.9)).mean() >= 0.9


@pytest.mark.parametrize("width", [0.1, 0.25, 0.6, 1.0, 2.0])
def test_a_later_period_is_covered_as_promised(width: float) -> None:
    """Envelopes of any width, a tenth of the right one or twice it, on prices of any size."""
    rng = np.random.default_rng(7)
    price = np.repeat([1.0, 50_000.0], 1500)[:, None]
    spread = price * 0.01 * np.sqrt(np.arange(1, 7)) * rng.uniform(0.5, 2.0, size=(3000, 1))
    actual = price + spread * rng.standard_t(5, size=spread.shape)
    right = 1.476 * spread  # the 90 % quantile of Student's t with 5 degrees of freedom
    low, high = price - width * right, price + width * right
    order = rng.permutation(3000)
    past, later = order[:1000], order[1000:]
    calibration = learn(low[past], high[past], actual[past])
    bands = [calibrate(calibration, low[i], np.broadcast_to(price[i], 6), high[i]) for i in later]
    below = np.mean(
        [band is not None and actual[i] < band[0] for i, band in zip(later, bands, strict=True)], axis=0
    )
    above = np.mean(
        [band is not None and actual[i] > band[1] for i, band in zip(later, bands, strict=True)], axis=0
    )
    np.testing.assert_allclose(below, 0.1, atol=0.035)
    np.testing.assert_allclose(above, 0.1, atol=0.035)
    raw = ((low <= actual) & (actual <= high))[later].mean()
    if width == 0.25:
        assert 0.25 <= raw <= 0.5  # what users of Kronos report


def test_tails_are_learned_apart_and_per_step() -> None:
    actual = np.tile([[0.0, 3.0]], (60, 1))
    calibration = learn(np.full((60, 2), -1.0), np.ones((60, 2)), actual)
    np.testing.assert_allclose(calibration.low, [-0.5, -2.0])
    np.testing.assert_allclose(calibration.high, [-0.5, 1.0])
    assert calibration.counts.tolist() == [60, 60]


def test_unknown_closes_and_zero_widths_are_ignored() -> None:
    low, high = np.zeros((100, 3)), np.ones((100, 3))
    actual = np.full((100, 3), 0.5)
    actual[FEWEST_RESIDUALS - 1 :, 1] = np.nan
    high[: 100 - FEWEST_RESIDUALS, 2] = 0.0  # one sample path: no width
    calibration = learn(low, high, actual)
    assert calibration.counts.tolist() == [100, FEWEST_RESIDUALS - 1, FEWEST_RESIDUALS]
    assert np.isfinite(calibration.low).tolist() == [True, False, True]
    assert np.isfinite(calibration.high).tolist() == [True, False, True]


def learned(*moves: float) -> Calibration:
    array = np.array(moves)
    return Calibration(array, array, np.full(len(moves), 99))


def test_moves_each_side_by_widths_of_the_envelope() -> None:
    calibration = Calibration(np.array([0.5, 1.0]), np.array([0.25, -0.25]), np.array([99, 99]))
    band = calibrate(calibration, [90.0, 80.0], [100.0, 100.0], [110.0, 120.0])
    assert band is not None
    np.testing.assert_allclose(band, [[80.0, 40.0], [115.0, 110.0]])


def test_a_shorter_forecast_takes_the_first_steps() -> None:
    assert calibrate(learned(1.0, 2.0, math.nan), [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]) is not None


@pytest.mark.parametrize("calibration", [learned(1.0), learned(1.0, math.nan), learned()])
def test_a_step_that_is_not_learned_leaves_the_forecast_without(calibration: Calibration) -> None:
    assert calibrate(calibration, [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]) is None


@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1e5)),
    hnp.arrays(np.float64, (2, 4), elements=st.floats(-3, 30)),
)
def test_the_calibrated_envelope_holds_the_median_and_no_negative_price(
    raw: np.ndarray, moves: np.ndarray
) -> None:
    p10, p50, p90 = np.sort(raw, axis=0)
    band = calibrate(Calibration(moves[0], moves[1], np.full(4, 99)), p10, p50, p90)
    assert band is not None
    assert (band[0] <= p50).all()
    assert (p50 <= band[1]).all()
    assert (band[0] >= 0).all()
    spread = calibrate(Calibration(moves[0], moves[1], np.full(4, 99)), p10, p50, p90, allow_nonpositive=True)
    assert spread is not None
    np.testing.assert_array_equal(spread[0], np.minimum(p10 - moves[0] * (p90 - p10), p50))
