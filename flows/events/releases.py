"""Turns the calendar's rows into releases with their surprises, as arrays that all symbols of a run share."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl

from flows.events.arrays import column_instants
from flows.events.config import EARNINGS, FAMILIES, KINDS, EventConfig
from flows.events.merging import Merged, leave_out_frequent, one_per_release
from flows.events.rows import NEVER, SeriesRows, read_rows
from flows.events.surprises import direction, hawkish_score, surprise_z
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

SCORED: Final = ("cpi", "nfp")  # families whose surprise has a channel as a z-score
_LONGEST_SILENCE: Final = np.timedelta64(7, "D").astype("timedelta64[us]")  # between two rows of any calendar
_TICK: Final = np.timedelta64(1, "us")


@dataclass(frozen=True)
class Releases:
    """Releases of one or several kinds, n of them, oldest first.

    Attributes
    ----------
    kind : (n,) int64
        Index into `KINDS`.
    times : (n,) datetime64[us]
        Of the release, UTC; 00:00 where only the date is known.
    timed : (n,) bool
        False where only the date is known.
    scheduled : (n,) bool
        Whether the release was announced ahead.
    public_at : (n,) datetime64[us]
        When its figures become public.
    score : (n,) float64
        Value of the surprise channel; NaN without one.
    direction : (n,) float64
        Sign of the surprise; NaN without one.
    never_came : (n,) datetime64[us]
        Since when it is certain that the release was never published; `NEVER` if it was or may be.
    withdrawn_at : (n,) datetime64[us]
        When the release was taken off the schedule; `NEVER` if it was not.
    """

    kind: Int64Array
    times: DatetimeArray
    timed: BoolArray
    scheduled: BoolArray
    public_at: DatetimeArray
    score: Float64Array
    direction: Float64Array
    never_came: DatetimeArray
    withdrawn_at: DatetimeArray

    def take(self, index: Int64Array | BoolArray) -> "Releases":
        """Return the releases at some positions."""
        return Releases(*(getattr(self, column.name)[index] for column in fields(self)))

    def are_valid(self, instant: np.datetime64, as_of: np.datetime64) -> BoolArray:
        """Tell which, (n,), are neither withdrawn by `as_of` nor known by `instant` to be never published."""
        return np.asarray((self.never_came >= instant) & (self.withdrawn_at > as_of))

    def known_at(self, instant: np.datetime64) -> BoolArray:
        """Tell which, (n,), are known at an instant: those announced ahead, or that happened by then."""
        return np.asarray(self.scheduled | (self.times <= instant))


@dataclass(frozen=True)
class EconomicCalendar:
    """The releases of a calendar, for all symbols of a run.

    Attributes
    ----------
    releases
        All but earnings.
    scored
        Those of `releases` with a value for a surprise channel.
    countdowns
        Times of the scheduled releases, (n,) datetime64[us], by family.
    with_earnings
        For each symbol that has earnings, `releases` and its own earnings.
    rows : (n,) datetime64[us]
        Times of all rows of the table, tracked or not, sorted; they show which span the calendar covers.
    source
        The rows from which the releases were read, for warnings about them.
    """

    releases: Releases
    scored: Releases
    countdowns: Mapping[str, DatetimeArray]
    with_earnings: Mapping[str, Releases]
    rows: DatetimeArray
    source: "CalendarSource"

    def of(self, symbol: str) -> Releases:
        """Return the releases that concern a symbol: all but the earnings of other symbols."""
        return self.with_earnings.get(symbol, self.releases)

    def covers(self, first: np.datetime64, last: np.datetime64) -> bool:
        """Tell whether the calendar has any row between two instants or within a week of them."""
        # As integers: NumPy searches them several times faster than instants.
        span = np.array([first - _LONGEST_SILENCE, last + _LONGEST_SILENCE], dtype="datetime64[us]")
        start, end = self.rows.view(np.int64).searchsorted(span.view(np.int64))
        return bool(start < end)

    def seen_at(self, instant: np.datetime64, as_of: np.datetime64) -> "EconomicCalendar":
        """Return the calendar with the releases that are valid at `instant` and `as_of`."""
        every = (self.releases, *self.with_earnings.values())
        if all(bool(releases.are_valid(instant, as_of).all()) for releases in every):
            return self
        return _calendar(
            self.releases.take(self.releases.are_valid(instant, as_of)),
            {
                symbol: releases.take(releases.are_valid(instant, as_of))
                for symbol, releases in self.with_earnings.items()
            },
            self.rows,
            self.source,
        )

    def as_known_today(self) -> "EconomicCalendar":
        """Return the calendar without the releases that were never published or were ever withdrawn."""
        return self.seen_at(NEVER - _TICK, NEVER - _TICK)


@dataclass(frozen=True)
class CalendarSource:
    """The rows from which an `EconomicCalendar` was read.

    Attributes
    ----------
    frame
        Rows of ``economic_calendar``.
    series_rows
        Those that belong to a series.
    merged
        One row per release.
    too_frequent : (families,)
        How many rows of each family were left out because their title is too frequent for releases.
    """

    frame: pl.DataFrame
    series_rows: SeriesRows
    merged: Merged
    too_frequent: Int64Array


def parse_calendar(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> EconomicCalendar:
    """Read the releases of a calendar and score their surprises.

    Parameters
    ----------
    calendar
        Rows of the table ``economic_calendar``, at least the columns of `flows.events.rows.REQUIRED`.
    rates
        Rows of the table ``central_bank_rates`` (bank, decision_time, time_known, scheduled), or None.
    symbols
        Symbols whose earnings are read.
    config
        Titles of the series, and unscheduled decisions.

    Raises
    ------
    EventError
        A column is missing, or no row has a configured title.
    """
    series_rows = read_rows(calendar, rates, symbols, config)
    names = series_rows.names
    kept, too_frequent = leave_out_frequent(series_rows.rows, len(FAMILIES))
    merged = one_per_release(kept, len(config.series))
    releases = _scored_releases(names, merged)
    order = np.argsort(releases.times, kind="stable")
    are_earnings = releases.kind[order] == KINDS.index("earnings")
    with_earnings = {
        name.removeprefix(EARNINGS): releases.take(
            order[~are_earnings | (merged.rows.series[order] == number)]
        )
        for name, number in names.items()
        if name.startswith(EARNINGS)
    }
    source = CalendarSource(calendar, series_rows, merged, too_frequent)
    return _calendar(releases.take(order[~are_earnings]), with_earnings, _sorted_times(calendar), source)


def _sorted_times(calendar: pl.DataFrame) -> DatetimeArray:
    times = column_instants(calendar["event_time"])
    return np.sort(times[~np.isnat(times)], kind="stable")  # the stable sort is fast on nearly sorted input


def _calendar(
    releases: Releases, with_earnings: Mapping[str, Releases], rows: DatetimeArray, source: CalendarSource
) -> EconomicCalendar:
    scheduled = releases.take(releases.scheduled)
    return EconomicCalendar(
        releases,
        releases.take(np.isfinite(releases.score)),
        {kind: scheduled.times[scheduled.kind == KINDS.index(kind)] for kind in FAMILIES},
        with_earnings,
        rows,
        source,
    )


def _scored_releases(names: Mapping[str, int], merged: Merged) -> Releases:
    """Return all releases with their surprises, in the order of `merged`."""
    rows, public_at = merged.rows, merged.public_at
    # Surprises are scored in the order of publication; `merged` is in the order of release.
    order = np.lexsort((public_at, rows.series))
    actual, forecast, previous, override = rows.figures[order].T
    score, sign = np.full((2, len(order)), np.nan)
    sign[order] = direction(actual, forecast)
    ends = rows.series.searchsorted(np.arange(len(names) + 1))
    for family in ("fomc", *SCORED):
        series = slice(*ends[names[family] :][:2])
        if family == "fomc":
            scores = hawkish_score(actual[series], forecast[series], previous[series], override[series])
            sign[order[series]] = np.sign(scores)
        else:
            scores = surprise_z(actual[series], forecast[series])
        score[order[series]] = scores
    kind_of_series = np.array([KINDS.index(name.split(" ")[0]) for name in names], dtype=np.int64)
    return Releases(
        kind_of_series[rows.series],
        rows.times,
        rows.timed,
        rows.scheduled,
        public_at,
        score,
        sign,
        merged.never_came,
        rows.withdrawn_at,
    )
