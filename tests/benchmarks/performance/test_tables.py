"""Figures become phrases with as many digits as say something."""

import pytest

from benchmarks.performance import tables


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123, "1.23 ms"),
        (0.0123, "12.3 ms"),
        (0.4996, "500 ms"),
        (2.5, "2.50 s"),
        (9.999, "10.0 s"),
        (432.1, "432 s"),
    ],
)
def test_times_have_three_digits(value: float, text: str) -> None:
    assert tables.seconds(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"), [(0.84, "0.8 ×"), (1.13, "1.1 ×"), (9.96, "10 ×"), (22.4, "22 ×")]
)
def test_ratios_have_a_decimal_below_ten(ratio: float, text: str) -> None:
    assert tables.times(ratio) == text


def test_float32_comes_first() -> None:
    rows = [{"precision": "int8"}, {"precision": "fp32"}, {"what": "rate"}]
    assert tables.precisions(rows) == ["fp32", "int8"]


def test_a_table_has_a_line_under_its_head() -> None:
    assert tables.markdown(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
