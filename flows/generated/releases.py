"""Releases of a generated market: the United States calendar by its usual rules, with made-up figures."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

NEW_YORK = ZoneInfo("America/New_York")

FRIDAY, THURSDAY, WEDNESDAY = 4, 3, 2

CALENDAR_SCHEMA = {
    "event_time": pl.Datetime("us", "UTC"),
    "time_known": pl.Boolean(),
    "currency": pl.String(),
    "title": pl.String(),
    "event_type": pl.String(),
    "impact": pl.String(),
    "actual": pl.Float64(),
    "forecast": pl.Float64(),
    "previous": pl.Float64(),
    "source": pl.String(),
}


@dataclass(frozen=True)
class Series:
    """One regular release: its name in the calendar, its usual day and hour, its usual figures.

    Attributes
    ----------
    day
        From the first day of a month to the day of the release, or None where that month has none.
    level, spread, surprise, step
        Mean and standard deviation of the forecasts, standard deviation of actual − forecast, and the step
        in which figures are published.
    walks
        The forecast is the figure before, as with an interest rate, and `level` only the first one.
    """

    title: str
    event_type: str
    at: time
    day: Callable[[date], date | None]
    level: float
    spread: float
    surprise: float
    step: float
    walks: bool = False


def _nth(month: date, weekday: int, number: int) -> date:
    """Return the n-th given weekday of a month."""
    return month + timedelta(days=(weekday - month.weekday()) % 7 + 7 * (number - 1))


def _last(month: date, weekday: int) -> date:
    """Return the last given weekday of a month."""
    end = (month + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return end - timedelta(days=(end.weekday() - weekday) % 7)


def _fomc(month: date) -> date | None:
    """Return the third Wednesday of the eight months in which the committee usually decides."""
    return _nth(month, WEDNESDAY, 3) if month.month in (1, 3, 5, 6, 7, 9, 11, 12) else None


def _advance_gdp(month: date) -> date | None:
    """Return the last Thursday of the month after a quarter."""
    return _last(month, THURSDAY) if month.month in (1, 4, 7, 10) else None


SERIES = (
    Series(
        "Non-Farm Employment Change", "nfp", time(8, 30), lambda m: _nth(m, FRIDAY, 1), 170e3, 40e3, 60e3, 1e3
    ),
    Series("CPI m/m", "cpi", time(8, 30), lambda m: _nth(m, WEDNESDAY, 2), 0.25, 0.1, 0.1, 0.1),
    Series("Federal Funds Rate", "fomc", time(14, 0), _fomc, 4.5, 0.0, 0.1, 0.25, walks=True),
    Series("Advance GDP q/q", "gdp", time(8, 30), _advance_gdp, 2.2, 0.6, 0.5, 0.1),
    Series("Core PCE Price Index m/m", "pce", time(8, 30), lambda m: _last(m, FRIDAY), 0.2, 0.05, 0.07, 0.1),
)


def generated_releases(start: datetime, end: datetime, *, now: datetime, seed: int) -> pl.DataFrame:
    """Make up the releases between two instants; the same arguments give the same figures.

    Parameters
    ----------
    start, end
        Aware instants, both included.
    now
        What is not public by then is null: the figures of later releases, and forecasts a week ahead.

    Returns
    -------
    polars.DataFrame
        Columns of `CALENDAR_SCHEMA`, ordered by time; `source` is ``generated``.
    """
    rows = [row for number, series in enumerate(SERIES) for row in _rows(series, start, end, [seed, number])]
    happened = pl.when(pl.col("event_time") < now)
    foreseen = pl.when(pl.col("event_time") < now + timedelta(days=7))
    return (
        pl.DataFrame(rows, schema=CALENDAR_SCHEMA, orient="row")
        .filter(pl.col("event_time").is_between(start, end))
        .with_columns(happened.then(pl.col("actual")), foreseen.then(pl.col("forecast")))
        .with_columns(pl.col("actual").shift(1).over("title", order_by="event_time").alias("previous"))
        .sort("event_time", "title")
    )


def _rows(series: Series, start: datetime, end: datetime, seed: list[int]) -> Iterator[tuple[Any, ...]]:
    """Yield one series, oldest first, with every figure."""
    rng = np.random.default_rng(seed)
    level = series.level
    for month in _months(start.date(), end.date()):
        day = series.day(month)
        if day is not None:
            forecast = _in_steps(rng.normal(level, series.spread), series.step)
            actual = _in_steps(rng.normal(forecast, series.surprise), series.step)
            at = datetime.combine(day, series.at, NEW_YORK).astimezone(UTC)
            yield (
                at,
                True,
                "USD",
                series.title,
                series.event_type,
                "high",
                actual,
                forecast,
                None,
                "generated",
            )
            level = actual if series.walks else level


def _in_steps(value: float, step: float) -> float:
    return round(round(value / step) * step, 4)


def _months(first: date, last: date) -> Iterator[date]:
    """Yield the first day of each month from one date to another."""
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = (month + timedelta(days=32)).replace(day=1)
