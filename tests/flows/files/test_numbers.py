"""Numbers as people write them, and those that can be read in two ways."""

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.files.errors import TableError
from flows.files.numbers import decimal_sign, numbers
from flows.files.options import Decimal


def number(text: str | None, decimal: Decimal = "point") -> float | None:
    values = numbers(pl.Series("x", [text], dtype=pl.String), decimal)
    return None if values[0] is None else float(values[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.5", 1234.5),
        ("1,234", 1234.0),
        ("1 234 567.5", 1234567.5),
        ("1\u202f234.5", 1234.5),
        ("1 234,567", None),
        ("1'234.5", 1234.5),
        ("1,23,456.7", 123456.7),
        ("12.3M", 12.3e6),
        ("272K", 272e3),
        ("1.2万", 12e3),
        ("3亿", 3e8),
        ("$45.2", 45.2),
        ("US$5", 5.0),
        ("3 €", 3.0),
        ("-$5.6B", -5.6e9),
        ("−2.5", -2.5),
        ("1e-5", 1e-5),
        ("1.5E+3", 1500.0),
        (" 7 ", 7.0),
        ("null", None),
        ("None", None),
        ("-", None),
        ("N/A", None),
        ("NaN", None),
        ("12,34", None),
        ("1.6%", None),
        ("abc", None),
        ("1.2.3", None),
    ],
)
def test_numbers_with_a_decimal_point(text: str, value: float | None) -> None:
    assert number(text) == (None if value is None else pytest.approx(value, rel=1e-12))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,5", 1234.5),
        ("12,3M", 12.3e6),
        ("0,5", 0.5),
        ("1.234", 1234.0),
        ("1 234,5", 1234.5),
        ("12.34", None),
    ],
)
def test_numbers_with_a_decimal_comma(text: str, value: float | None) -> None:
    assert number(text, "comma") == value


@pytest.mark.parametrize(
    ("columns", "sign"),
    [
        ([["1.5"]], "point"),
        ([["1.234"]], "point"),
        ([["12"]], "point"),
        ([["1,5"]], "comma"),
        ([["0,123"]], "comma"),
        ([["1.234,5"]], "comma"),
        ([["1.234.567"]], "comma"),
        ([["1.234"], ["12,5"]], "comma"),
        ([["1,234"], ["12.5"]], "point"),
        ([["1,234", "1,234,567"]], "point"),
        ([["1,234", "x", None]], TableError),
        ([["1,234", "1.234"]], TableError),
        ([["1,5", "1.25"]], TableError),
    ],
)
def test_one_sign_for_a_file(columns: list[list[str]], sign: Decimal | type[TableError]) -> None:
    series = [pl.Series(values, dtype=pl.String) for values in columns]
    if sign is TableError:
        with pytest.raises(TableError, match="--decimal"):
            decimal_sign(series, None)
        assert decimal_sign(series, "comma") == "comma"
    else:
        assert decimal_sign(series, None) == sign


def test_both_readings_are_shown() -> None:
    with pytest.raises(
        TableError, match=r"'1,234' is 1234 if .* thousands, or 1\.234 if .* --decimal point or"
    ):
        decimal_sign([pl.Series(["1,234"])], None)
    with pytest.raises(TableError, match=r"'1,5' has a decimal comma and '1\.25' a decimal point"):
        decimal_sign([pl.Series(["1,5", "1.25"])], None)


def with_comma(text: str) -> str:
    return text.translate(str.maketrans(",.", ".,"))


@given(st.lists(st.integers(-(10**11), 10**11), min_size=1, max_size=5), st.sampled_from([str, with_comma]))
def test_what_is_written_is_read(cents: list[int], written: Callable[[str], str]) -> None:
    values = [amount / 100 for amount in cents]
    texts = pl.Series([written(f"{value:,.2f}") for value in values])
    sign = decimal_sign([texts], None)
    assert sign == ("point" if written is str else "comma")
    assert numbers(texts, sign).to_list() == values
