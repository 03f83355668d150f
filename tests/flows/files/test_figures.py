"""Published figures as numbers."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.figures import figure, with_figures


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.3%", 0.3),
        ("-0.1 %", -0.1),
        ("254K", 254_000.0),
        ("14.39M", 14.39e6),
        ("-7.1B", -7.1e9),
        ("1.2t", 1.2e12),
        ("1,234.5", 1234.5),
        ("<0.50%", 0.5),
        ("−2.5", -2.5),
        ("$45.2B", 45.2e9),
        ("-$5.6B", -5.6e9),
        (" 5.25 ", 5.25),
        (".5", 0.5),
        ("104.", 104.0),
        ("Pass", None),
        ("", None),
        ("All Day", None),
        ("5.10|2.3", None),
        ("12X", None),
    ],
)
def test_figures(text: str, number: float | None) -> None:
    assert figure(text) == (None if number is None else pytest.approx(number, rel=1e-12))


@given(st.floats(min_value=-1e12, max_value=1e12).map(lambda number: round(number, 3)))
def test_a_number_with_separators_and_a_unit_is_that_number(number: float) -> None:
    assert figure(f"{number:,.3f}%") == number


def test_columns_of_text_become_numbers_and_others_stay() -> None:
    frame = pl.DataFrame(
        {"actual": ["1K", "Pass", None, " "], "forecast": [0.5, None, 1.0, 2.0], "title": ["a"] * 4}
    )
    numbers, unreadable = with_figures(frame, ("actual", "forecast", "previous"))
    assert numbers.to_dict(as_series=False) == {
        "actual": [1000.0, None, None, None],
        "forecast": [0.5, None, 1.0, 2.0],
        "title": ["a"] * 4,
    }
    assert unreadable == ["Pass"]
