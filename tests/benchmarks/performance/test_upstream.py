"""A request of many steps is extrapolated from two of few."""

import pytest

from benchmarks.performance.upstream import extrapolated


@pytest.mark.parametrize(
    ("constant", "step", "more", "steps"), [(2.0, 0.5, 1, 120), (0.0, 3.0, 7, 2), (1.0, 0.25, 16, 1)]
)
def test_equal_steps_are_extrapolated_exactly(constant: float, step: float, more: int, steps: int) -> None:
    single, longer = constant + step, constant + (1 + more) * step
    assert extrapolated(single, longer, more, steps) == pytest.approx(constant + steps * step)
