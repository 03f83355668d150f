"""The envelope's quantiles: Weibull's positions, order, and the refusal of other shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.envelope import Envelope, envelope, lowest_price, with_floor


def test_nineteen_paths_hit_weibull_positions_exactly() -> None:
    paths = np.arange(1.0, 20.0)[::-1, None]  # with n = 19, k / (n + 1) = 0.1, 0.5, 0.9 for k = 2, 10, 18
    assert [float(level[0]) for level in envelope(paths)] == [2.0, 10.0, 18.0]


def test_one_path_is_its_own_envelope() -> None:
    path = np.array([[1.5, 2.5, 3.5]], dtype=np.float32)
    for level in envelope(path):
        np.testing.assert_array_equal(level, path[0])


@given(arrays(np.float32, (7, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_levels_are_ordered_and_inside_the_paths(paths: np.ndarray) -> None:
    p10, p50, p90 = envelope(paths)
    assert p50.dtype == np.float64
    assert (paths.min(axis=0) <= p10).all()
    assert (p10 <= p50).all()
    assert (p50 <= p90).all()
    assert (p90 <= paths.max(axis=0)).all()


@given(
    arrays(np.float64, (7, 3), elements=st.floats(-100, 100)),
    arrays(np.float64, 3, elements=st.floats(1e-9, 100)),
)
def test_a_floor_loses_no_coverage_of_a_price_above_it(paths: np.ndarray, actual: np.ndarray) -> None:
    raw = envelope(paths)
    levels = with_floor(raw, lowest_price([1.0, 0.5], allow_nonpositive=False))
    assert min(level.min() for level in levels) >= 0
    for low, high in (("p10", "p90"), ("p10", "p50"), ("p50", "p90")):
        before = (getattr(raw, low) <= actual) & (actual <= getattr(raw, high))
        after = (getattr(levels, low) <= actual) & (actual <= getattr(levels, high))
        np.testing.assert_array_equal(after, before)
    for level, other in zip(raw, levels, strict=True):
        assert (np.abs(other - actual) <= np.abs(level - actual)).all()


@pytest.mark.parametrize("prices", [[1.0, 0.0], [-37.6, 20.0], [0.0]])
def test_a_price_that_was_zero_or_below_has_no_floor(prices: list[float]) -> None:
    lowest = lowest_price(prices, allow_nonpositive=False)
    assert lowest == -np.inf
    levels = Envelope(*np.array([[-5.0], [-1.0], [2.0]]))
    assert with_floor(levels, lowest) == levels


def test_a_price_that_may_be_below_zero_has_no_floor_before_it_was() -> None:
    assert lowest_price([20.0, 18.0], allow_nonpositive=True) == -np.inf


@pytest.mark.parametrize("shape", [(5,), (0, 3), (2, 3, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        envelope(np.zeros(shape))
