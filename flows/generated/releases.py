"""Generates an economic calendar: releases and rate decisions at their usual times, with made-up figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from flows.runtime.table_columns import ECONOMIC_CALENDAR, part

TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = 1, 2, 3, 4

COLUMNS: Final = part(
    ECONOMIC_CALENDAR,
    (
        "event_time",
        "time_known",
        "currency",
        "title",
        "event_type",
        "impact",
        "actual",
        "forecast",
        "previous",
        "source",
    ),
)

DayRule = Callable[[date], date | None]
"""From the first day of a month to the day of the release in it, None in a month without one."""


@dataclass(frozen=True)
class Figures:
    """Distribution of the figures of a series.

    Attributes
    ----------
    level, spread
        Mean and standard deviation of the forecasts.
    surprise
        Standard deviation of actual − forecast.
    step
        Figures are published in multiples of it.
    walks
        The forecast is the figure before, as with an interest rate, and `level` only the first one.
    """

    level: float
    spread: float
    surprise: float
    step: float
    walks: bool = False


@dataclass(frozen=True)
class Series:
    """A regular release.

    Attributes
    ----------
    at, zone
        Local time of the release.
    """

    title: str
    event_type: str
    day: DayRule
    figures: Figures
    at: time = time(8, 30)
    zone: str = "America/New_York"
    currency: str = "USD"
    impact: str = "high"


def nth(weekday: int, number: int, months: tuple[int, ...] = tuple(range(1, 13))) -> DayRule:
    """Return the rule of the n-th such weekday of a month, in some months of the year."""

    def day(month: date) -> date | None:
        if month.month not in months:
            return None
        return month + timedelta(days=(weekday - month.weekday()) % 7 + 7 * (number - 1))

    return day


def last(weekday: int, months: tuple[int, ...] = tuple(range(1, 13))) -> DayRule:
    """Return the rule of the last such weekday of a month, in some months of the year."""

    def day(month: date) -> date | None:
        if month.month not in months:
            return None
        end = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
        return end - timedelta(days=(end.weekday() - weekday) % 7)

    return day


def _bank_of_england(month: date) -> date | None:
    """Return the third Thursday at the end of a quarter, the first one of its middle month."""
    return nth(THURSDAY, 3, (3, 6, 9, 12))(month) or nth(THURSDAY, 1, (2, 5, 8, 11))(month)


def _twentieth(month: date) -> date:
    """Return the 20th, or the Monday after it."""
    day = month.replace(day=20)
    return day + timedelta(days=7 - day.weekday()) if day.weekday() > FRIDAY else day


def _decision(
    currency: str, title: str, day: DayRule, at: time, zone: str, level: float, step: float = 0.25
) -> Series:
    return Series(
        title, "rate_decision", day, Figures(level, 0.0, 0.4 * step, step, walks=True), at, zone, currency
    )


_GDP: Final = Figures(2.2, 0.6, 0.5, 0.1)
_REVISED_GDP: Final = Figures(2.2, 0.6, 0.2, 0.1)
_FOMC_MONTHS: Final = (1, 3, 5, 6, 7, 9, 11, 12)
_EIGHT_MONTHS: Final = (1, 3, 4, 6, 7, 9, 10, 12)  # of the banks of the euro area, Japan and Canada

# The figures of a series are drawn by its place in this list: a new one goes to the end.
SERIES: Final = (
    Series("Non-Farm Employment Change", "nfp", nth(FRIDAY, 1), Figures(170e3, 40e3, 60e3, 1e3)),
    Series("CPI m/m", "cpi", nth(WEDNESDAY, 2), Figures(0.25, 0.1, 0.1, 0.1)),
    Series(
        "Federal Funds Rate",
        "fomc",
        nth(WEDNESDAY, 3, _FOMC_MONTHS),
        Figures(4.5, 0.0, 0.1, 0.25, walks=True),
        at=time(14, 0),
    ),
    Series("Advance GDP q/q", "gdp", last(THURSDAY, (1, 4, 7, 10)), _GDP),
    Series("Core PCE Price Index m/m", "pce", last(FRIDAY), Figures(0.2, 0.05, 0.07, 0.1)),
    Series("Prelim GDP q/q", "gdp", last(THURSDAY, (2, 5, 8, 11)), _REVISED_GDP, impact="medium"),
    Series("Final GDP q/q", "gdp", last(THURSDAY, (3, 6, 9, 12)), _REVISED_GDP, impact="medium"),
    _decision(
        "EUR", "Main Refinancing Rate", nth(THURSDAY, 2, _EIGHT_MONTHS), time(14, 15), "Europe/Berlin", 2.15
    ),
    _decision("GBP", "Official Bank Rate", _bank_of_england, time(12, 0), "Europe/London", 4.25),
    _decision("JPY", "BOJ Policy Rate", nth(FRIDAY, 3, _EIGHT_MONTHS), time(12, 0), "Asia/Tokyo", 0.5),
    _decision("CHF", "SNB Policy Rate", nth(THURSDAY, 3, (3, 6, 9, 12)), time(9, 30), "Europe/Zurich", 0.25),
    _decision(
        "CAD", "Overnight Rate", nth(WEDNESDAY, 2, _EIGHT_MONTHS), time(9, 45), "America/Toronto", 2.75
    ),
    _decision(
        "AUD",
        "Cash Rate",
        nth(TUESDAY, 1, (2, 4, 5, 7, 8, 9, 11, 12)),
        time(14, 30),
        "Australia/Sydney",
        3.85,
    ),
    _decision(
        "NZD",
        "Official Cash Rate",
        nth(WEDNESDAY, 3, (2, 4, 5, 7, 8, 10, 11)),
        time(14, 0),
        "Pacific/Auckland",
        3.25,
    ),
    _decision("CNY", "1-y Loan Prime Rate", _twentieth, time(9, 0), "Asia/Shanghai", 3.0, step=0.1),
)


def generated_releases(start: datetime, end: datetime, *, now: datetime, seed: int) -> pl.DataFrame:
    """Generate the releases between two instants; the same arguments give the same figures.

    Parameters
    ----------
    start, end
        Aware instants, both included.
    now
        The figures of releases from this instant on are null, and so are forecasts more than a week ahead.

    Returns
    -------
    polars.DataFrame
        Columns of `COLUMNS`, ordered by time; `source` is ``generated``.
    """
    rows = [row for number, series in enumerate(SERIES) for row in _rows(series, start, end, [seed, number])]
    published = pl.when(pl.col("event_time") < now)
    expected = pl.when(pl.col("event_time") < now + timedelta(days=7))
    return (
        pl.DataFrame(rows, schema=COLUMNS, orient="row")
        .filter(pl.col("event_time").is_between(start, end))
        .with_columns(published.then(pl.col("actual")), expected.then(pl.col("forecast")))
        .with_columns(pl.col("actual").shift(1).over("title", order_by="event_time").alias("previous"))
        .sort("event_time", "title")
    )


def _rows(series: Series, start: datetime, end: datetime, seed: list[int]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a series in the columns of `COLUMNS`, oldest first, all with figures."""
    rng = np.random.default_rng(seed)
    figures, zone = series.figures, ZoneInfo(series.zone)
    level = figures.level
    for month in _months(start.date(), end.date()):
        day = series.day(month)
        if day is not None:
            forecast = _rounded(rng.normal(level, figures.spread), figures.step)
            actual = _rounded(rng.normal(forecast, figures.surprise), figures.step)
            event_time = datetime.combine(day, series.at, zone).astimezone(UTC)
            names = (series.currency, series.title, series.event_type, series.impact)
            yield (event_time, True, *names, actual, forecast, None, "generated")
            level = actual if figures.walks else level


def _rounded(value: float, step: float) -> float:
    return round(round(value / step) * step, 4)


def _months(first: date, end: date) -> Iterator[date]:
    """Yield the first day of each month from one date to another."""
    month = first.replace(day=1)
    while month <= end:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)
