"""The calendar of a run as arrays, parsed once for all symbols: when each release is, known ahead or not, and
what it said against what was forecast.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import polars as pl

from flows.events.config import FAMILIES, EventConfig
from flows.events.merging import Merged, leave_out_frequent, one_per_release
from flows.events.rows import EARNINGS, NEVER, FoundRows, instants, read_rows
from flows.events.surprises import direction, hawkish_score, surprise_z
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

KINDS: Final = (*FAMILIES, "rate_decision", "earnings")
_SCORED: Final = ("cpi", "nfp")  # families with a z-score among the channels
_TICK: Final = np.timedelta64(1, "us")


@dataclass(frozen=True)
class Releases:
    """Events of one or of several kinds, oldest first.

    Attributes
    ----------
    kind : (n,) int64
        Index into `KINDS`.
    times : (n,) datetime64[us]
        When it happens, UTC.
    timed : (n,) bool
        False where only the date is known.
    scheduled : (n,) bool
        Known ahead.
    public_at : (n,) datetime64[us]
        When its figures are public.
    score : (n,) float64
        Value of the surprise channel; NaN where there is none.
    direction : (n,) float64
        Sign of the surprise; NaN where there is none.
    never_came : (n,) datetime64[us]
        From when on it is clear that it never came; `NEVER` where it did or may.
    withdrawn_at : (n,) datetime64[us]
        When it was taken off the schedule; `NEVER` where it stands.
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
        """Return the events at some positions."""
        return Releases(*(getattr(self, each.name)[index] for each in fields(self)))

    def stand(self, instant: np.datetime64, as_of: np.datetime64) -> BoolArray:
        """Tell which events, (n,), had neither failed to come by an instant nor been withdrawn by `as_of`."""
        return np.asarray((self.never_came >= instant) & (self.withdrawn_at > as_of))

    def known_at(self, instant: np.datetime64) -> BoolArray:
        """Tell which events, (n,), are on the schedule as it stood at an instant."""
        return np.asarray(self.scheduled | (self.times <= instant))


@dataclass(frozen=True)
class Calendar:
    """Everything that the calendar tells, for all symbols of a run.

    Attributes
    ----------
    releases
        All but earnings.
    scored
        Those of them that have a value for a surprise channel.
    countdowns
        Times of the scheduled releases, (n,) datetime64[us], by kind.
    with_earnings
        The same with its own earnings, for each symbol that has any.
    rows : (n,) datetime64[us]
        Times of all rows, tracked or not, sorted: they tell which span the calendar covers.
    source
        What the releases were read from, for what there is to say of it.
    """

    releases: Releases
    scored: Releases
    countdowns: Mapping[str, DatetimeArray]
    with_earnings: Mapping[str, Releases]
    rows: DatetimeArray
    source: "CalendarSource"

    def of(self, symbol: str) -> Releases:
        """Return the releases that concern a symbol: those of the economy and its own earnings."""
        return self.with_earnings.get(symbol, self.releases)

    def seen_at(self, instant: np.datetime64, as_of: np.datetime64) -> "Calendar":
        """Return the calendar as it stood, without what had not come by `instant` or was gone by `as_of`."""
        everything = (self.releases, *self.with_earnings.values())
        if all(bool(each.stand(instant, as_of).all()) for each in everything):
            return self
        left = {name: each.take(each.stand(instant, as_of)) for name, each in self.with_earnings.items()}
        return _calendar(
            self.releases.take(self.releases.stand(instant, as_of)), left, self.rows, self.source
        )

    def come_true(self) -> "Calendar":
        """Return the calendar as it is now known: without what never came or was withdrawn since."""
        return self.seen_at(NEVER - _TICK, NEVER - _TICK)


@dataclass(frozen=True)
class CalendarSource:
    """The rows behind a `Calendar`.

    Attributes
    ----------
    frame
        Rows of ``economic_calendar``.
    found
        Those that belong to a series.
    merged
        One event per release.
    frequent
        By number of a family, how many rows were left out because they come too often to be releases.
    """

    frame: pl.DataFrame
    found: FoundRows
    merged: Merged
    frequent: Int64Array


def parse_calendar(
    calendar: pl.DataFrame, rates: pl.DataFrame | None, symbols: Collection[str], config: EventConfig
) -> Calendar:
    """Sort the rows of a calendar into releases and score their surprises.

    Parameters
    ----------
    calendar
        Rows of the table ``economic_calendar``, at least the columns of `flows.events.rows.CALENDAR_SCHEMA`.
    rates
        Rows of the table ``central_bank_rates`` (bank, decision_time, time_known, scheduled), or None.
    symbols
        Whose earnings are wanted.

    Raises
    ------
    EventError
        A column is missing, or no row has a configured title.
    """
    rows = read_rows(calendar, rates, symbols, config)
    names = rows.names
    kept, frequent = leave_out_frequent(rows.rows, len(FAMILIES))
    merged = one_per_release(kept, len(config.series))
    found = _releases(names, merged)
    order = np.argsort(found.times, kind="stable")
    own = found.kind[order] == KINDS.index("earnings")
    with_earnings = {}
    for name in (each for each in names if each.startswith(EARNINGS)):
        mine = ~own | (merged.rows.series[order] == names[name])
        with_earnings[name.removeprefix(EARNINGS)] = found.take(order[mine])
    times = instants(calendar["event_time"])
    times = np.sort(times[~np.isnat(times)], kind="stable")  # quick: as good as sorted
    source = CalendarSource(calendar, rows, merged, frequent)
    return _calendar(found.take(order[~own]), with_earnings, times, source)


def _calendar(
    releases: Releases, with_earnings: Mapping[str, Releases], rows: DatetimeArray, source: CalendarSource
) -> Calendar:
    scheduled = releases.take(releases.scheduled)
    return Calendar(
        releases,
        releases.take(np.isfinite(releases.score)),
        {kind: scheduled.times[scheduled.kind == KINDS.index(kind)] for kind in FAMILIES},
        with_earnings,
        rows,
        source,
    )


def _releases(names: Mapping[str, int], merged: Merged) -> Releases:
    """Return all releases in the order of the rows, scored."""
    rows, public_at = merged.rows, merged.public_at
    kinds = np.array([KINDS.index(name.split(" ")[0]) for name in names], dtype=np.int64)
    order = np.lexsort((public_at, rows.series))
    actual, forecast, previous, override = rows.figures[order].T
    ends = rows.series.searchsorted(np.arange(len(names) + 1))
    score, way = np.full((2, len(public_at)), np.nan)
    way[order] = direction(actual, forecast)
    for family in ("fomc", *_SCORED):
        one = slice(*ends[names[family] :][:2])
        if family == "fomc":
            score[order[one]] = hawkish_score(actual[one], forecast[one], previous[one], override[one])
            way[order[one]] = np.sign(score[order[one]])
        else:
            score[order[one]] = surprise_z(actual[one], forecast[one])
    return Releases(
        kinds[rows.series],
        rows.times,
        rows.timed,
        rows.scheduled,
        public_at,
        score,
        way,
        merged.never_came,
        rows.withdrawn_at,
    )
