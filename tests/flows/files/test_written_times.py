"""Times of files in every form: local time, zone, and whether there is a time of day."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from flows.files.written_times import joined_texts, order_of_dates, written_times

AT = datetime(2024, 1, 2, 9, 30)


def row(value: Any, dtype: Any = None) -> tuple[Any, ...]:
    """Return local time, has_time, utc, zone and iso."""
    return written_times(pl.Series([value], dtype=dtype)).row(0)


@pytest.mark.parametrize(
    ("text", "utc", "zone", "iso"),
    [
        ("2024-01-02T09:30:00Z", AT, None, True),
        ("2024-01-02 09:30", None, None, True),
        ("2024-01-02 10:30:00+01:00", "10:30", None, True),
        ("20240102 093000", None, None, True),
        ("20240102T0930Z", AT, None, True),
        ("20240102093000", None, None, True),
        ("20240102093000000", None, None, True),
        ("2024.01.02 09:30:00", None, None, False),
        ("2024/1/2 9:30", None, None, False),
        ("02.01.2024 09:30:00.000 GMT+0000", AT, None, False),
        ("Jan 02, 2024 9:30 AM", None, None, False),
        ("2024-01-02 9:30 AM", None, None, False),
        ("2024-01-02 09:30:00 EST", None, "EST", True),
        ("20240102 09:30:00 US/Eastern", None, "US/Eastern", True),
    ],
)
def test_forms_of_a_time(text: str, utc: Any, zone: str | None, iso: bool) -> None:
    local, has_time, instant, written_zone, form = row(text)
    assert (has_time, written_zone, form) == (True, zone, iso)
    if utc == "10:30":
        assert (local, instant) == (AT.replace(hour=10), AT.replace(tzinfo=UTC))
    else:
        assert (local, instant) == (AT, utc.replace(tzinfo=UTC) if utc else None)


@pytest.mark.parametrize(
    "value", ["2024-01-02", "20240102", 20240102, 20240102.0, date(2024, 1, 2), "02.01.2024"]
)
def test_dates_have_no_time(value: Any) -> None:
    assert row(value)[:3] == (datetime(2024, 1, 2), False, None)


@pytest.mark.parametrize(
    "value", [1704187800, 1704187800000, "1704187800", "1704187800000000", 1704187800.0, "1704187800.0"]
)
def test_unix_times_are_utc(value: Any) -> None:
    assert row(value)[:3] == (AT, True, AT.replace(tzinfo=UTC))


def test_digits_of_date_and_clock_are_no_unix_time() -> None:
    assert row(202401020930)[:3] == (AT, True, None)
    assert row("202401020930")[:3] == (AT, True, None)


def test_columns_of_datetimes() -> None:
    assert row(AT, pl.Datetime("ns"))[:3] == (AT, True, None)
    zoned = pl.Series([AT]).dt.replace_time_zone("America/New_York")
    assert written_times(zoned).row(0)[:3] == (AT, True, datetime(2024, 1, 2, 14, 30, tzinfo=UTC))


@pytest.mark.parametrize("text", ["soon", "2024-13-01", "2024-01-02 25:00", "1699", "20241301", "0", None])
def test_what_is_no_time(text: str | None) -> None:
    assert row(text, pl.String)[0] is None


def test_forms_may_be_mixed() -> None:
    times = written_times(
        pl.Series(["2024-01-02 09:30", "2024-01-02T09:30:00Z", "1704187800", "2024-01-02T09"])
    )
    assert times["local"].to_list() == [AT, AT, AT, AT.replace(minute=0)]
    assert times["utc"].is_null().to_list() == [True, False, False, True]


def test_dates_and_times_of_day_of_two_columns() -> None:
    texts = joined_texts(pl.Series(["2024-01-02", "2024-01-03"]), pl.Series(["09:30", None]))
    assert texts.to_list() == ["2024-01-02 09:30", "2024-01-03"]
    assert joined_texts(pl.Series([20240102] * 2), pl.Series([93000, 160000])).to_list() == [
        "20240102 093000",
        "20240102 160000",
    ]
    assert joined_texts(pl.Series([20240102]), pl.Series([930])).to_list() == ["20240102 0930"]


def test_the_order_of_a_column_of_times() -> None:
    assert order_of_dates(pl.Series(["13/01/2024 09:30", "01/02/2024"])) == "dmy"
    assert order_of_dates(pl.Series(["2024-01-02 09:30"])) is None
    assert order_of_dates(pl.Series([20240102])) is None
