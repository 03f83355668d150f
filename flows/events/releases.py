"""The calendar of a run as arrays, parsed once for all symbols: when each release is, known ahead or not, and
what it said against what was forecast.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flows.events.config import FAMILIES, EventConfig
from flows.events.figures import Floats, direction, hawkish_score, surprise_z
from flows.events.rows import EARNINGS, Rows, instants, read_rows
from inference_server.time_grid import BoolArray, DatetimeArray

KINDS: Final = (*FAMILIES, "rate_decision", "earnings")
_SCORED: Final = ("cpi", "nfp")  # families with a z-score among the channels
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")


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
    """

    kind: NDArray[np.int64]
    times: DatetimeArray
    timed: BoolArray
    scheduled: BoolArray
    public_at: DatetimeArray
    score: Floats
    direction: Floats

    def take(self, index: NDArray[np.int64] | BoolArray) -> "Releases":
        """Return the events at some positions."""
        return Releases(
            self.kind[index],
            self.times[index],
            self.timed[index],
            self.scheduled[index],
            self.public_at[index],
            self.score[index],
            self.direction[index],
        )

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
    """

    releases: Releases
    scored: Releases
    countdowns: Mapping[str, DatetimeArray]
    with_earnings: Mapping[str, Releases]
    rows: DatetimeArray

    def of(self, symbol: str) -> Releases:
        """Return the releases that concern a symbol: those of the economy and its own earnings."""
        return self.with_earnings.get(symbol, self.releases)


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
    names, rows = read_rows(calendar, rates, symbols, config)
    found = _releases(names, rows)
    order = np.argsort(found.times, kind="stable")
    own = found.kind[order] == KINDS.index("earnings")
    releases = found.take(order[~own])
    with_earnings = {}
    for name in (each for each in names if each.startswith(EARNINGS)):
        mine = ~own | (rows.series[order] == names[name])
        with_earnings[name.removeprefix(EARNINGS)] = found.take(order[mine])
    scheduled = releases.take(releases.scheduled)
    times = instants(calendar["event_time"])
    return Calendar(
        releases,
        releases.take(np.isfinite(releases.score)),
        {kind: scheduled.times[scheduled.kind == KINDS.index(kind)] for kind in FAMILIES},
        with_earnings,
        np.sort(times[~np.isnat(times)], kind="stable"),  # quick: as good as sorted
    )


def _releases(names: Mapping[str, int], rows: Rows) -> Releases:
    """Return all releases in the order of the rows, scored."""
    kinds = np.array([KINDS.index(name.split(" ")[0]) for name in names], dtype=np.int64)
    public_at = np.where(rows.timed, rows.times, rows.times + _DAY)
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
    return Releases(kinds[rows.series], rows.times, rows.timed, rows.scheduled, public_at, score, way)
