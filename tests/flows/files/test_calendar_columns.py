"""Calendars as providers and people write them: names, times of day, words in their place."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.files.calendar_files import CalendarFile, read_calendar_file
from flows.files.errors import TableError
from flows.files.frames import read_table
from flows.files.options import ReadOptions

FOREX_FACTORY = (
    "Title,Country,Date,Time,Impact,Forecast,Previous,URL\n"
    "CPI m/m,USD,06-12-2024,8:30am,High,0.1%,0.3%,https://example.com/1\n"
    "Bank Holiday,CNY,06-10-2024,All Day,Holiday,,,\n"
    "OPEC Meetings,All,06-11-2024,Tentative,Medium,,,\n"
)
SCRAPED = (
    "Date,Time,Currency,Impact,Event,Actual,Forecast,Previous\n"
    "2024-06-12,8:30am,USD,High,CPI m/m,0.0%,0.1%,0.3%\n"
)
INVESTING = (
    "id,date,time,zone,currency,importance,event,actual,forecast,previous\n"
    '1,12/06/2024,08:30,united states,USD,high,CPI (MoM) (May),"0,0%","0,1%","0,3%"\n'
    "2,13/06/2024,All Day,china,CNY,,Holiday,,,\n"
)
NEW_YORK = {"timezone": "America/New_York"}
RELEASE = datetime(2024, 6, 12, 12, 30, tzinfo=UTC)


def read(folder: Path, text: str, **options: Any) -> CalendarFile:
    (folder / "calendar.csv").write_text(text)
    return read_calendar_file(read_table(folder / "calendar.csv").frame, options=ReadOptions(**options))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (FOREX_FACTORY, {"preset": "forexfactory", **NEW_YORK}),
        (FOREX_FACTORY, {"date_order": "mdy", **NEW_YORK}),
        (SCRAPED, NEW_YORK),
        (INVESTING, {"preset": "investing", **NEW_YORK}),
        (
            "Datum;Ereignis;Währung;Erwartet\n12.06.2024 14:30;CPI m/m;USD;0,1\n",
            {
                "timezone": "Europe/Berlin",
                "columns": {
                    "event_time": "Datum",
                    "title": "Ereignis",
                    "currency": "Währung",
                    "forecast": "Erwartet",
                },
            },
        ),
        ("timestamp,event,country,consensus,foo\n2024-06-12 08:30:00 EDT,CPI MoM,US,0.1,x\n", NEW_YORK),
        ("time,event,country,estimate,prev\n2024-06-12 12:30:00,CPI MoM,US,0.1,0.3\n", {"preset": "finnhub"}),
    ],
)
def test_calendars_as_people_have_them(tmp_path: Path, text: str, options: dict[str, Any]) -> None:
    file = read(tmp_path, text, **options)
    release = file.rows.filter(event_type="cpi")
    assert release.select("event_time", "time_known", "currency", "forecast").rows() == [
        (RELEASE, None, "USD", pytest.approx(0.1))
    ]


def test_words_in_place_of_a_time_leave_the_date(tmp_path: Path) -> None:
    rows = read(tmp_path, FOREX_FACTORY, preset="forexfactory", **NEW_YORK).rows
    dates = rows.filter(time_known=False).select("event_time", "title", "currency", "source").rows()
    assert dates == [
        (datetime(2024, 6, 10, tzinfo=UTC), "Bank Holiday", "CNY", "forexfactory"),
        (datetime(2024, 6, 11, tzinfo=UTC), "OPEC Meetings", "ALL", "forexfactory"),
    ]


def test_blank_dates_and_times_of_forexfactory_are_those_of_the_row_above(tmp_path: Path) -> None:
    lines = [
        "Date,Time,Currency,Event,Forecast",
        "06-12-2024,8:30am,USD,CPI m/m,0.1%",
        ",,USD,Core CPI m/m,0.3%",
        ",2:00pm,USD,Federal Funds Rate,5.50%",
        "06-12-2024,,USD,FOMC Statement,",  # the date is written again
        "06-13-2024,,CNY,Bank Holiday,",  # another day: no time is carried
        ",,JPY,Bank Holiday,",
    ]
    file = read(tmp_path, "\n".join([*lines, ""]), preset="forexfactory", **NEW_YORK)
    times = {title: at for title, at in file.rows.select("title", "event_time").rows() if "Bank" not in title}
    assert times == {
        "CPI m/m": RELEASE,
        "Core CPI m/m": RELEASE,
        "Federal Funds Rate": datetime(2024, 6, 12, 18, tzinfo=UTC),
        "FOMC Statement": datetime(2024, 6, 12, 18, tzinfo=UTC),
    }
    holidays = file.rows.filter(title="Bank Holiday").select("event_time", "time_known").rows()
    assert holidays == [(datetime(2024, 6, 13, tzinfo=UTC), False)] * 2
    assert file.notes == ("4 rows without a date or a time of day have that of the row above",)
    with pytest.raises(TableError, match="event_time is missing"):
        read(tmp_path, "\n".join([lines[0], lines[2], lines[1]]), preset="forexfactory", **NEW_YORK)


def test_what_was_understood_and_what_was_not_used(tmp_path: Path) -> None:
    file = read(tmp_path, INVESTING, preset="investing", **NEW_YORK)
    assert file.notes == ("columns that are not used: id, zone",)
    assert file.understood == (
        "columns: event_time = date and time, title = event, currency = currency, impact = importance, "
        "actual = actual, forecast = forecast, previous = previous",
        "numbers: decimal comma",
        "zone: America/New_York",
        "events: 2, of which 1 have a date and no time; 2024-06-12 12:30 to 2024-06-13 00:00 UTC",
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (FOREX_FACTORY, {"preset": "forexfactory"}, r"such as 2024-06-12 08:30, have no zone.*--timezone"),
        (FOREX_FACTORY, NEW_YORK, r"'06-10-2024' is 2024-10-06 .*--date-order dmy or mdy"),
        ("foo,bar\n1,2\n", {}, "missing columns: event_time, title; its .* are foo, bar;.*--map event_time="),
        (SCRAPED.replace("8:30am", "soon"), {}, "event_time is not a time"),
        (SCRAPED, {"preset": "binance", **NEW_YORK}, "preset binance is one for candles, not for calendar"),
        (SCRAPED, {"columns": {"titel": "Event"}}, "--map names the column 'titel'; expected one of"),
    ],
)
def test_what_is_asked_back(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError, match=message):
        read(tmp_path, text, **options)
