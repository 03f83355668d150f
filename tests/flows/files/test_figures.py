"""Published figures as numbers."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.figures import with_figures


def figures(*texts: str | None) -> list[float | None]:
    return with_figures(pl.DataFrame({"actual": texts}, schema={"actual": pl.String}), ["actual"])[0][
        "actual"
    ].to_list()


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
        ("-", None),
        ("All Day", None),
        ("5.10|2.3", None),
        ("12X", None),
    ],
)
def test_figures(text: str, number: float | None) -> None:
    assert figures(text) == [None if number is None else pytest.approx(number, rel=1e-12)]


@given(st.floats(min_value=-1e12, max_value=1e12).map(lambda number: round(number, 3)))
def test_a_number_with_separators_and_a_unit_is_that_number(number: float) -> None:
    assert figures(f"{number:,.3f}%") == [number]


def test_columns_of_text_become_numbers_and_others_stay() -> None:
    frame = pl.DataFrame(
        {"actual": ["1K", "Pass", None, " "], "forecast": [0.5, None, 1.0, 2.0], "title": ["a"] * 4}
    )
    numbers, notes = with_figures(frame, ("actual", "forecast", "previous"))
    assert numbers.to_dict(as_series=False) == {
        "actual": [1000.0, None, None, None],
        "forecast": [0.5, None, 1.0, 2.0],
        "title": ["a"] * 4,
    }
    assert notes == ["figures that are no numbers are left out: 'Pass'"]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["0.3%", "0.2%", "0.003"], [0.3, 0.2, None]),
        (["0.3", "0.2", "40%"], [0.3, 0.2, None]),
        (["0.3%", "0", "0.0"], [0.3, 0.0, 0.0]),
        (["254K", "229K", "231"], [254e3, 229e3, None]),
        (["1.1K", "950", "980"], [1100.0, 950.0, 980.0]),
        (["0.9M", "1.1B"], [0.9e6, 1.1e9]),
    ],
)
def test_units_are_not_mixed_within_a_series(texts: list[str], kept: list[float | None]) -> None:
    frame = pl.DataFrame({"title": ["A"] * len(texts), "currency": ["USD"] * len(texts), "actual": texts})
    read, notes = with_figures(frame, ["actual"])
    assert read["actual"].to_list() == kept
    assert [note for note in notes if "unit is doubtful" in note] == notes
    assert bool(notes) == (None in kept)
    apart = frame.with_columns(title=pl.Series([str(place) for place in range(len(texts))]))
    assert with_figures(apart, ["actual"])[0]["actual"].null_count() == 0
