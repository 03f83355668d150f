"""The envelope's quantiles: Weibull's positions, order, and the refusal of other shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inference_server.envelope import envelope


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


@pytest.mark.parametrize("shape", [(5,), (0, 3), (2, 3, 6)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        envelope(np.zeros(shape))
