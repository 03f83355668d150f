"""Values of command lines and flow parameters: names, instants and whole numbers."""

import argparse
from datetime import UTC, datetime, timedelta, timezone

import pytest

from flows.runtime.arguments import as_utc, instant, names_in, not_negative, positive


def test_names_are_separated_by_commas() -> None:
    assert names_in("A, B ,EUR/USD,") == ["A", "B", "EUR/USD"]
    assert names_in(" ") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=UTC)),
        ("2024-01-31T12:30", datetime(2024, 1, 31, 12, 30, tzinfo=UTC)),
        ("2024-01-31T12:30Z", datetime(2024, 1, 31, 12, 30, tzinfo=UTC)),
        ("2024-01-31 12:30+02:00", datetime(2024, 1, 31, 10, 30, tzinfo=UTC)),
    ],
)
def test_an_instant_without_a_zone_is_in_utc(text: str, expected: datetime) -> None:
    assert instant(text) == expected
    assert instant(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["", "yesterday", "31.01.2024", "2024-02-30", "0001-01-01T00:00+01:00"])
def test_an_unreadable_instant_is_named_with_an_example(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"instant; .* 2024-01-31T12:00Z") as refusal:
        instant(text)
    assert repr(text) in str(refusal.value)


def test_no_instant_is_the_current_one() -> None:
    assert abs(as_utc(None) - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_instant_of_a_parameter_is_converted_to_utc_and_a_naive_one_is_in_it() -> None:
    in_utc = datetime(2024, 1, 31, 10, tzinfo=UTC)
    assert as_utc(datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))) == in_utc
    assert as_utc(datetime(2024, 1, 31, 10)) == in_utc


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_a_number_that_is_not_positive_is_named(text: str) -> None:
    assert positive("7") == 7
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a whole number above 0"):
        positive(text)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "some", ""])
def test_a_number_below_0_is_named(text: str) -> None:
    assert not_negative("0") == 0
    assert not_negative("2.5") == 2.5
    with pytest.raises(argparse.ArgumentTypeError, match=f"'{text}' is not a number of 0 and above"):
        not_negative(text)
