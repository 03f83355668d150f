"""Calendars as providers give them, read into the columns of the tables."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from flows.files.calendar_files import CALENDAR, read_calendar_file
from flows.files.frames import TableError
from flows.files.providers import event_types

RELEASE = datetime(2024, 6, 12, 12, 30, tzinfo=UTC)
FINNHUB = {
    "actual": 0.0,
    "country": "US",
    "estimate": 0.1,
    "event": "CPI MoM",
    "impact": "high",
    "prev": 0.3,
    "time": "2024-06-12 12:30:00",
    "unit": "%",
}
FMP = {
    "date": "2024-06-12 12:30:00",
    "country": "US",
    "event": "CPI (MoM) (May)",
    "currency": "USD",
    "previous": 0.3,
    "estimate": 0.1,
    "actual": 0.0,
    "change": -0.3,
    "impact": "High",
    "changePercentage": -100.0,
    "unit": "%",
}
TRADING_ECONOMICS = {
    "CalendarId": "1",
    "Date": "2024-06-12T12:30:00",
    "Country": "United States",
    "Category": "Inflation Rate MoM",
    "Event": "Inflation Rate MoM",
    "Reference": "May",
    "Source": "U.S. Bureau of Labor Statistics",
    "Actual": "0%",
    "Previous": "0.3%",
    "Forecast": "0.1%",
    "TEForecast": "0.2%",
    "DateSpan": "0",
    "Importance": 3,
    "LastUpdate": "2024-06-12T12:30:00",
    "Currency": "",
    "Unit": "%",
}
FOREX_FACTORY = {
    "title": "CPI m/m",
    "country": "USD",
    "date": "2024-06-12T08:30:00-04:00",
    "impact": "High",
    "forecast": "0.1%",
    "previous": "0.3%",
    "actual": "0.0%",
}


def read(*rows: dict[str, Any]) -> list[dict[str, Any]]:
    return read_calendar_file(pl.DataFrame(list(rows), infer_schema_length=None)).rows.to_dicts()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (FINNHUB, {"title": "CPI MoM", "country": "US", "source": "finnhub"}),
        (FMP, {"title": "CPI (MoM) (May)", "country": "US", "source": "fmp"}),
        (
            TRADING_ECONOMICS,
            {"title": "Inflation Rate MoM", "country": "United States", "source": "tradingeconomics"},
        ),
        (FOREX_FACTORY, {"title": "CPI m/m", "country": None, "source": "forexfactory"}),
    ],
    ids=["finnhub", "fmp", "tradingeconomics", "forexfactory"],
)
def test_calendars_of_providers(row: dict[str, Any], expected: dict[str, Any]) -> None:
    nothing = dict.fromkeys(CALENDAR)
    common = {
        "event_time": RELEASE,
        "currency": "USD",
        "event_type": "cpi",
        "impact": "high",
        "actual": 0.0,
        "forecast": 0.1,
        "previous": 0.3,
    }
    assert read(row) == [{**nothing, **common, **expected}]


def test_a_calendar_in_our_own_columns_stays_as_it_is() -> None:
    row = {"event_time": "2024-06-12T12:30Z", "event_type": "other", "title": "CPI m/m", "currency": "USD"}
    assert read(row)[0]["event_type"] == "other"
    with pytest.raises(TableError, match="missing columns: event_type"):
        read({name: value for name, value in row.items() if name != "event_type"})


def test_a_figure_that_is_no_number_is_left_out_and_named() -> None:
    vote = {**FOREX_FACTORY, "title": "Parliament Brexit Vote", "country": "GBP", "actual": "Reject"}
    file = read_calendar_file(pl.DataFrame([FOREX_FACTORY, vote]))
    assert file.rows.sort("title")["actual"].to_list() == [0.0, None]
    assert "figures that are no numbers are left out: 'Reject'" in file.notes


def test_all_day_events_of_trading_economics_are_dates() -> None:
    day = {**TRADING_ECONOMICS, "Date": "2024-06-12T00:00:00", "DateSpan": "1", "Event": "Election"}
    known = {row["title"]: row["time_known"] for row in read(TRADING_ECONOMICS, day)}
    assert known == {"Inflation Rate MoM": None, "Election": False}


def test_types_of_events_follow_from_currency_and_title() -> None:
    titles = [
        ("USD", "Fed Interest Rate Decision"),
        ("EUR", "ECB Interest Rate Decision"),
        ("USD", "Non Farm Payrolls"),
        ("USD", "Retail Sales MoM"),
        (None, "CPI MoM"),
        ("USD", None),
    ]
    types = event_types([currency for currency, _ in titles], [title for _, title in titles])
    assert types == ["fomc", "rate_decision", "nfp", "other", "other", "other"]
