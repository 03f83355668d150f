"""Hours, weekdays and numbers at which releases never come."""

from datetime import datetime, timedelta

import numpy as np
import pytest

from flows.events import checks
from flows.events.releases import parse_calendar
from tests.helpers.event_markets import calendar_rows

TITLES = {
    "fomc": "Federal Funds Rate",
    "cpi": "CPI m/m",
    "nfp": "Non-Farm Employment Change",
    "gdp": "Advance GDP q/q",
    "pce": "Core PCE Price Index m/m",
}
SPAN = np.datetime64("2000-01-01", "us"), np.datetime64("2100-01-01", "us")


def warnings_of(config, *rows, now=SPAN[1]):
    source = parse_calendar(calendar_rows(*rows), None, [], config).source
    merged, names = source.merged, source.series_rows.names
    return [
        *checks.dated_rows(source.series_rows.dated),
        *checks.impossible_releases(merged, *SPAN),
        *checks.doubtful_releases(merged, names, *SPAN, now),
        *checks.weekend_decisions(merged, names, *SPAN),
        *checks.left_out(source.too_frequent),
    ]


@pytest.mark.parametrize("family", ["cpi", "nfp", "gdp", "pce"])
@pytest.mark.parametrize(
    ("time", "usual"),
    [
        ("2024-06-12T12:30", True),
        ("2024-01-11T13:30", True),
        ("2024-06-12T12:32", True),
        ("2024-06-12T13:30", False),
        ("2024-01-11T12:30", False),
        ("2024-06-12T08:30", False),
    ],
)
def test_figures_come_at_half_past_eight_in_new_york(config, family, time, usual):
    warnings = warnings_of(config, {"event_time": time, "title": TITLES[family]})
    assert (warnings == []) is usual
    if not usual:
        assert warnings[0].startswith(f"unusual-release-time: {family} is away from 08:30 New York: 2024-")
        assert "--timezone" in warnings[0]


@pytest.mark.parametrize(
    ("time", "usual"),
    [
        ("2024-06-12T18:00", True),
        ("2024-12-18T19:00", True),
        ("2024-06-12T14:00", False),
        ("2024-12-18T18:00", False),
        ("2012-06-20T16:30", True),
        ("2012-03-13T18:15", True),
    ],
)
def test_the_committee_decides_at_two(config, time, usual):
    warnings = warnings_of(config, {"event_time": time, "title": TITLES["fomc"]})
    assert (warnings == []) is usual


def test_income_may_come_at_ten_before_a_holiday(config):
    assert warnings_of(config, {"event_time": "2024-11-27T15:00", "title": TITLES["pce"]}) == []


@pytest.mark.parametrize(
    ("row", "warnings"),
    [
        (
            {"event_time": "2024-06-15T12:30", "title": "CPI m/m"},
            "cpi is on a weekend: 2024-06-15 12:30 UTC",
        ),
        (
            {"event_time": "2024-06-16", "title": "CPI m/m", "time_known": False},
            "cpi is on a weekend: 2024-06-16",
        ),
        (
            {"event_time": "2024-06-15T11:00", "title": "Official Bank Rate", "currency": "GBP"},
            "decisions are on a weekend: rate_decision GBP 2024-06-15 11:00 UTC",
        ),
    ],
)
def test_releases_on_weekends_are_named(config, row, warnings):
    assert warnings_of(config, row) == [f"unusual-release-time: {warnings}"]


@pytest.mark.parametrize(
    "row",
    [
        {"event_time": "2024-06-16T21:00", "title": "Official Cash Rate", "currency": "NZD"},
        {"event_time": "2021-02-20T01:30", "title": "1-y Loan Prime Rate", "currency": "CNY"},
        {"event_time": "2020-03-15T21:00", "title": "Federal Funds Rate"},  # listed as unscheduled
    ],
)
def test_some_may_be_on_a_weekend(config, row):
    assert warnings_of(config, row) == []


def test_a_family_that_comes_more_often_than_it_can_is_named(config):
    start = datetime(2024, 1, 3, 19)
    rows = [
        {"event_time": start + timedelta(days=21 * number), "title": TITLES["fomc"]} for number in range(14)
    ]
    warnings = [each for each in warnings_of(config, *rows) if each.startswith("releases-too-frequent")]
    assert warnings[0].startswith("releases-too-frequent: 14 releases of fomc in the year up to 2024-10-02")


def test_two_releases_within_days_are_named(config):
    rows = [{"event_time": f"2025-10-{day}T12:30", "title": "CPI m/m"} for day in (15, 24)]
    (warnings,) = warnings_of(config, *rows)
    assert warnings.startswith(
        "releases-too-frequent: two releases of cpi less than 14 days apart: 2025-10-15 12:30 UTC and 2025-10"
    )


def test_rows_that_disagree_and_rows_that_never_came_are_named(config):
    old = [
        {"event_time": f"2024-{day}T13:30", "title": "CPI m/m", "actual": 0.1} for day in ("01-11", "02-13")
    ]
    twice = [{"event_time": "2024-03-12T12:30", "title": "CPI m/m", "actual": each} for each in (0.4, 0.5)]
    never = {"event_time": "2024-04-10T12:30", "title": "CPI m/m"}
    shifted = [
        {"event_time": f"2024-05-15T{hour}:30", "title": "CPI m/m", "actual": 0.6} for hour in (11, 12)
    ]
    rows = *old, *twice, never, *shifted
    warnings = [each.split(": ") for each in warnings_of(config, *rows)]
    assert [(code, where) for code, _, where in warnings] == [
        ("two-release-times", "cpi 2024-05-15 12:30 UTC"),
        ("contradicting-figures", "cpi 2024-03-12 12:30 UTC"),
        ("release-never-came", "cpi 2024-04-10 12:30 UTC"),
    ]
    before = [
        each.split(":")[0] for each in warnings_of(config, *rows, now=np.datetime64("2024-05-15T12:30", "us"))
    ]
    assert before == ["two-release-times", "contradicting-figures"]
