"""The floor of a phase is the slower of the memory and the products."""

import pytest

from benchmarks.performance.floors import best_rate, floor_of

RATES = {"MatMul": 3e11, "MatMulInteger": 2e12, "MatMulNBits": 4e11}


@pytest.mark.parametrize(("memory", "products", "floor"), [(0.015, 0.009, 0.015), (0.015, 0.23, 0.23)])
def test_the_larger_one_is_the_floor(memory: float, products: float, floor: float) -> None:
    assert floor_of({"memory_s": memory, "products_s": products}) == floor


@pytest.mark.parametrize(("precision", "rate"), [("fp32", 3e11), ("int8", 2e12)])
def test_float32_has_one_operator_and_others_their_fastest(precision: str, rate: float) -> None:
    assert best_rate(RATES, precision) == rate
