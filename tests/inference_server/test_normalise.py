import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inference_server.normalise import normalise

WINDOWS = hnp.arrays(np.float64, st.tuples(st.integers(2, 60), st.just(6)), elements=st.floats(-1e6, 1e6))


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
def test_the_caller_s_layout_does_not_matter(order: str) -> None:
    candles = np.random.default_rng(0).normal(1e4, 10, (500, 6))
    laid_out = np.asarray(candles, order=order)  # type: ignore[call-overload]
    np.testing.assert_array_equal(normalise(laid_out).values, normalise(candles).values)
