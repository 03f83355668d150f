"""Times of calendar files: dates that stay dates, zones, hours that a clock shows twice."""

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from flows.files import feeds
from flows.files.frames import TableError

EVENT: dict[str, Any] = {"event_type": "inflation", "title": "CPI m/m", "currency": "USD"}


def read(times: list[Any] | pl.Series, timezone: str | None = None, **columns: Any) -> list[tuple[str, Any]]:
    """Return time and time_known of a file's rows."""
    count = len(times)
    frame = pl.DataFrame(
        {
            "event_time": times,
            **{
                name: [f"{value} {n}" if name == "title" else value for n in range(count)]
                for name, value in EVENT.items()
            },
            **columns,
        }
    )
    rows = feeds.calendar(frame, timezone)
    return [
        (f"{at:%Y-%m-%dT%H:%M}", known) for at, known in rows.select("event_time", "time_known").iter_rows()
    ]


JUNE = [("2024-06-12T00:00", False)]


@pytest.mark.parametrize(
    "times",
    [
        ["2024-06-12"],
        ["20240612"],
        [" 2024-06-12 "],
        [date(2024, 6, 12)],
        [datetime(2024, 6, 12)],
        [datetime(2024, 6, 12, tzinfo=UTC)],
        ["2024-06-12 00:00:00"],
        ["2024-06-12T00:00:00Z"],
        ["2024-06-12T00:00:00-04:00"],
        ["2024-06-12T00:00:00+09:00"],
        [20240612],
        [1718150400000],
        ["1718150400000"],
        pl.Series([datetime(2024, 6, 12)]).dt.replace_time_zone("Asia/Tokyo"),
        pl.Series([datetime(2024, 6, 12)], dtype=pl.Datetime("ns")),
    ],
)
@pytest.mark.parametrize("timezone", [None, "UTC"])
def test_a_date_stays_a_date_however_it_is_written(times: Any, timezone: str | None) -> None:
    assert read(times, timezone) == JUNE


@pytest.mark.parametrize("times", [["2024-06-12"], [date(2024, 6, 12)], ["2024-06-12T00:00:00"]])
@pytest.mark.parametrize("timezone", ["America/New_York", "Asia/Tokyo"])
def test_a_zone_moves_no_date(times: Any, timezone: str) -> None:
    assert read(times, timezone) == JUNE


def test_midnight_among_times_is_a_time() -> None:
    assert read(["2024-06-12T00:00Z", "2024-06-13T12:30Z", "2024-06-14"]) == [
        ("2024-06-12T00:00", None),
        ("2024-06-13T12:30", None),
        ("2024-06-14T00:00", False),
    ]


def test_an_evening_that_is_midnight_of_utc_is_a_time() -> None:
    assert read(["2024-06-12 20:00"], "America/New_York") == [("2024-06-13T00:00", None)]


def test_each_source_has_its_own_habit() -> None:
    times = ["2024-06-12T00:00Z", "2024-06-13T00:00Z", "2024-06-13T12:30Z"]
    found = read(times, source=["dates", "times", "times"])
    assert [known for _, known in found] == [False, None, None]


@pytest.mark.parametrize(
    ("said", "stored"), [(True, True), (False, False), (None, False), ("true", True), ("", False)]
)
def test_what_the_file_says_of_its_times_wins(said: Any, stored: bool) -> None:
    frame_type = pl.String if isinstance(said, str) else pl.Boolean
    (found,) = read(["2024-06-12"], time_known=pl.Series([said], dtype=frame_type))
    assert found == ("2024-06-12T00:00", stored)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-06-12 08:30:00", "2024-06-12T12:30"),
        ("2024-01-11 08:30", "2024-01-11T13:30"),
        ("2024-06-12T08:30:00Z", "2024-06-12T08:30"),  # it names its zone
        ("2024-06-12T08:30:00+02:00", "2024-06-12T06:30"),
        ("2024-11-03 01:30", "2024-11-03T06:30"),  # shown twice: the later
        ("2024-03-10 02:30", "2024-03-10T07:30"),  # never shown
    ],
)
def test_times_without_a_zone_are_in_the_zone_of_the_file(text: str, instant: str) -> None:
    assert read([text, "2024-06-20T10:00Z"], "America/New_York")[0] == (instant, None)


def test_naive_columns_are_in_the_zone_of_the_file() -> None:
    (found,) = read([datetime(2024, 6, 12, 8, 30)], "America/New_York")
    assert found == ("2024-06-12T12:30", None)


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(TableError, match=r"no time zone 'EDT5'; expected a name such as America/New_York"):
        read(["2024-06-12"], "EDT5")


def test_what_is_no_time_is_still_refused() -> None:
    with pytest.raises(TableError, match="event_time is not a time"):
        read(["soon"])


def test_decisions_in_the_table_of_rates_stay_dates_too() -> None:
    frame = pl.DataFrame({"bank": ["ECB"], "decision_time": ["2022-07-21"], "rate": [0.5]})
    assert feeds.rates(frame).select("decision_time", "time_known").row(0) == (
        datetime(2022, 7, 21, tzinfo=UTC),
        False,
    )
