"""The releases of a generated market: usual days and hours, nothing published ahead of its time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from flows.events import load_config
from flows.generated.releases import COLUMNS, generated_releases

START, NOW, END = (datetime(2024, month, 15, tzinfo=UTC) for month in (1, 6, 12))


@pytest.fixture(scope="module")
def releases() -> pl.DataFrame:
    return generated_releases(START, END, now=NOW, seed=1)


@pytest.mark.parametrize(
    ("event_type", "hour", "weekday"),
    [
        ("nfp", "08:30", 5),
        ("cpi", "08:30", 3),
        ("fomc", "14:00", 3),
        ("gdp", "08:30", 4),
        ("pce", "08:30", 5),
    ],
)
def test_dollar_releases_are_at_their_new_york_hour_in_both_seasons(
    releases: pl.DataFrame, event_type: str, hour: str, weekday: int
) -> None:
    local = releases.filter(pl.col("event_type") == event_type)["event_time"].dt.convert_time_zone(
        str(ZoneInfo("America/New_York"))
    )
    assert len(local) >= 3
    assert set(local.dt.strftime("%H:%M")) == {hour}
    assert set(local.dt.weekday()) == {weekday}


@pytest.mark.parametrize(
    ("title", "hour", "zone", "weekdays"),
    [
        ("Main Refinancing Rate", "14:15", "Europe/Berlin", {4}),
        ("Official Bank Rate", "12:00", "Europe/London", {4}),
        ("BOJ Policy Rate", "12:00", "Asia/Tokyo", {5}),
        ("SNB Policy Rate", "09:30", "Europe/Zurich", {4}),
        ("Overnight Rate", "09:45", "America/Toronto", {3}),
        ("Cash Rate", "14:30", "Australia/Sydney", {2}),
        ("Official Cash Rate", "14:00", "Pacific/Auckland", {3}),
        ("1-y Loan Prime Rate", "09:00", "Asia/Shanghai", {1, 2, 3, 4, 5}),
    ],
)
def test_decisions_are_at_their_local_hour_in_both_seasons(
    releases: pl.DataFrame, title: str, hour: str, zone: str, weekdays: set[int]
) -> None:
    local = releases.filter(title=title)["event_time"].dt.convert_time_zone(zone)
    assert len(local) >= 3
    assert set(local.dt.strftime("%H:%M")) == {hour}
    assert set(local.dt.weekday()) <= weekdays


def test_every_tracked_bank_decides_within_100_days(releases: pl.DataFrame) -> None:
    for currency, titles in load_config().rate_decisions.items():
        decisions = releases.filter(pl.col("title").is_in(titles), currency=currency)["event_time"]
        bounds = [START, *decisions, END]
        assert max(later - earlier for earlier, later in pairwise(bounds)) < timedelta(days=100), currency


def test_gdp_is_published_every_month_in_three_estimates(releases: pl.DataFrame) -> None:
    gdp = releases.filter(event_type="gdp", currency="USD")
    months = gdp.select(pl.col("event_time").dt.month(), "title").rows()
    estimates = ("Advance GDP q/q", "Prelim GDP q/q", "Final GDP q/q")
    assert months == [(month, estimates[(month - 1) % 3]) for month in range(1, 12)]


def test_nothing_is_published_ahead_of_its_time(releases: pl.DataFrame) -> None:
    later = releases.filter(pl.col("event_time") >= NOW)
    assert later["actual"].null_count() == later.height
    assert releases.filter(pl.col("event_time") < NOW)["actual"].null_count() == 0
    week_ahead = releases.filter(pl.col("event_time") >= NOW + timedelta(days=7))
    assert week_ahead["forecast"].null_count() == week_ahead.height


def test_previous_is_the_figure_before(releases: pl.DataFrame) -> None:
    for _, series in releases.group_by("title"):
        assert series["previous"][1:].to_list() == series["actual"][:-1].to_list()


def test_says_that_it_is_generated(releases: pl.DataFrame) -> None:
    assert releases.schema == pl.Schema(COLUMNS)
    assert set(releases["source"]) == {"generated"}
    assert releases["event_time"].is_sorted()
