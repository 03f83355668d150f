"""Rows that claim midnight as their time and only know a date."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from flows.events import EventConfig
from flows.events.dates import DatedRows, at_midnight
from flows.events.releases import Releases, parse_calendar
from tests.helpers.event_markets import Market, calendar_rows

CPI, BOE = "CPI m/m", "Official Bank Rate"


def releases_of(
    config: EventConfig, *rows: dict[str, Any], kind: str = "cpi"
) -> tuple[Releases, list[DatedRows]]:
    parsed = parse_calendar(calendar_rows(*rows), None, [], config)
    number = ("fomc", "cpi", "nfp", "gdp", "pce", "rate_decision", "earnings").index(kind)
    return parsed.releases.take(parsed.releases.kind == number), parsed.source.series_rows.dated


def boe(*times: str, **columns: Any) -> list[dict[str, Any]]:
    return [{"event_time": time, "title": BOE, "currency": "GBP", **columns} for time in times]


@pytest.mark.parametrize("hour", ["00:00", "04:00"])
def test_a_release_at_midnight_is_a_date_whose_figures_count_when_the_day_is_over(
    config: EventConfig, hour: str
) -> None:
    june = {"event_time": f"2024-06-12T{hour}", "title": CPI, "actual": 0.6, "forecast": 0.1}
    (release, dated) = releases_of(config, june)
    assert (str(release.times[0]), release.timed[0]) == ("2024-06-12T00:00:00.000000", False)
    assert str(release.public_at[0]) == "2024-06-13T00:00:00.000000"
    assert [(each.source, each.count) for each in dated] == [("test", 1)]


def test_a_family_has_no_release_at_midnight_whatever_else_its_source_knows(config: EventConfig) -> None:
    rows = [{"event_time": time, "title": CPI} for time in ("2024-05-15T12:30", "2024-06-12T00:00")]
    release, _ = releases_of(config, *rows)
    assert release.timed.tolist() == [True, False]


def test_a_source_whose_rows_all_stand_at_midnight_knows_dates(config: EventConfig) -> None:
    release, dated = releases_of(config, *boe("2024-05-09T00:00", "2024-06-20T00:00"), kind="rate_decision")
    assert release.timed.tolist() == [False, False]
    assert dated[0].count == 2


def test_a_source_that_knows_times_may_have_one_at_midnight(config: EventConfig) -> None:
    release, dated = releases_of(config, *boe("2024-05-09T11:00", "2024-06-20T00:00"), kind="rate_decision")
    assert release.timed.tolist() == [True, True]
    assert dated == []


def test_what_stands_before_the_first_time_of_a_source_stays_a_date(config: EventConfig) -> None:
    rows = boe("2024-03-21T00:00", "2024-05-09T00:00", "2024-06-20T11:00", "2024-08-01T00:00")
    release, _ = releases_of(config, *rows, kind="rate_decision")
    assert release.timed.tolist() == [False, False, True, True]


def test_other_sources_say_nothing_of_this_one(config: EventConfig) -> None:
    rows = boe("2024-05-09T00:00", source="dates") + boe("2024-06-20T11:00", source="times")
    release, dated = releases_of(config, *rows, kind="rate_decision")
    assert release.timed.tolist() == [False, True]
    assert [each.source for each in dated] == ["dates"]


def test_midnight_of_new_york_follows_its_summer() -> None:
    times = ["2024-06-12T04:00", "2024-06-12T05:00", "2024-01-11T04:00", "2024-01-11T05:00", "2024-01-11"]
    found = at_midnight(np.array(times, dtype="datetime64[us]"))
    assert found.tolist() == [True, False, False, True, True]


def test_surprises_of_dates_stand_on_no_candle_of_their_day(market: Market) -> None:
    old = [
        {"event_time": f"{year}-{month:02d}-11T00:00", "title": CPI, "actual": 0.1 * month, "forecast": 0.3}
        for year in (2022, 2023)
        for month in range(1, 13)
    ]
    june = {"event_time": "2024-06-12T00:00", "title": CPI, "actual": 0.6, "forecast": 0.1}
    request = market.request("BTC-USD", "1h", "2024-06-13T14:00", lookback=60, pred_len=12)
    rows = market.rows(request, calendar_rows(*old, june))
    assert list(rows["is_cpi"]) == ["2024-06-12T00:00"]
    assert list(rows["cpi_surprise_z"]) == ["2024-06-13T00:00"]
    warnings = market.build(request, calendar_rows(*old, june)).warnings
    assert any(each.startswith("calendar-dates: source 'test': 25 tracked") for each in warnings)


def test_decisions_of_the_table_of_rates_may_be_dates_too(config: EventConfig) -> None:
    times = ["2022-06-23T00:00", "2022-08-18T00:00", "2022-09-21T08:00"]
    rates = pl.DataFrame(
        {
            "bank": ["Norges Bank"] * 2 + ["Riksbank"],
            "decision_time": calendar_rows(*({"event_time": each, "title": ""} for each in times))[
                "event_time"
            ],
            "time_known": [True, None, True],
            "scheduled": [True, True, True],
        }
    )
    cpi = calendar_rows({"event_time": "2022-06-10T12:30", "title": CPI})
    releases = parse_calendar(cpi, rates, [], config).releases
    assert releases.timed[releases.kind == 5].tolist() == [False, False, True]
