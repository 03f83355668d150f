"""Merges the rows of the calendar into one row per release; the rules:

- Rows of one series on one UTC date are one release; scheduled, unscheduled and withdrawn ones are separate.
- A time beats a date. Of several times the latest counts, preferably among the rows that give the series'
  figures. The figures become public at the latest time of a row that has an actual, never before.
- Each figure is the first one published, of the title with the lowest rank that has it. If rows of one title
  and time have different actuals, the release has none.
- Revisions of `previous` are ignored; a past release whose actual is missing has no surprise.
- A title that is more frequent than any family is no schedule of releases, and is left out.
- A past release without an actual was never published, if nearly all releases of its series have one. That is
  certain once a later release of the series is public. Series that usually have no figures, such as speeches,
  statements and dates of earnings, are exempt.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from flows.events.rows import FIGURES, NEVER, Rows
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

MISSING_SHARE: Final = 0.15  # of a series' releases may lack an actual in a series that usually has them
OFTEN: Final = 5  # releases of one title within `OFTEN_DAYS`, which no family has
OFTEN_DAYS: Final = 30
_FEWEST_EARNINGS: Final = 4  # a year of them
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
_ACTUAL: Final = FIGURES.index("actual")
_PUBLISHED: Final = [_ACTUAL, FIGURES.index("hawkish_score")]  # figures that exist only after publication
_OF_SERIES: Final = slice(0, FIGURES.index("hawkish_score"))  # figures that differ between titles of a series
_NONE: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Merged:
    """One row per release, ordered by series and time; (n,) each.

    Attributes
    ----------
    rows
        As `Rows`, with the figures that count.
    public_at
        When the figures become public.
    never_came
        Since when it is certain that the release was never published; `NEVER` if it was or may be.
    two_times
        Whether its rows give several times.
    contradicting
        Whether rows of one title and time give different actuals.
    """

    rows: Rows
    public_at: DatetimeArray
    never_came: DatetimeArray
    two_times: BoolArray
    contradicting: BoolArray


@dataclass(frozen=True)
class _Grouped:
    """Rows in which each release is a run of consecutive rows, the row that decides about it first.

    If any row of a release has a time, the first row has one; if any of those with a time gives the series'
    figures, the first row gives them; rows that are equal in this follow each other by rank, then by time.

    Attributes
    ----------
    rows
        All rows, n of them.
    starts : (releases,) int64
        Position of the first row of each release; at least one release.
    """

    rows: Rows
    starts: Int64Array

    @cached_property
    def release(self) -> Int64Array:
        """Position of the release of each row, (n,)."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.rows.times)))

    @cached_property
    def firsts(self) -> Rows:
        """The first row of each release, (releases,)."""
        return self.rows.take(self.starts)

    def any(self, rows: BoolArray) -> BoolArray:
        """Tell which releases, (releases,), have any of some rows, (n,)."""
        return np.asarray(np.logical_or.reduceat(rows, self.starts))

    def latest(self, rows: BoolArray) -> Int64Array:
        """Return the latest time of some rows, (n,), of each release in microseconds; `_NONE` without any."""
        ticks = self.rows.times.view(np.int64)
        return np.asarray(np.maximum.reduceat(np.where(rows, ticks, _NONE), self.starts))


def leave_out_frequent(rows: Rows, families: int) -> tuple[Rows, Int64Array]:
    """Leave out rows of the families whose title is more frequent than their releases can be.

    A row is left out if its title is on at least `OFTEN` dates within the `OFTEN_DAYS` days up to it.

    Parameters
    ----------
    rows
        Of all series.
    families
        Number of families; theirs are the first series.

    Returns
    -------
    rows
        Those that are kept.
    left_out : (families,) int64
        Number of rows that were left out of each family.
    """
    positions = np.flatnonzero(rows.series < families)
    if not positions.size:
        return rows, np.zeros(families, dtype=np.int64)
    # One integer for title and date: the title in the high bits, the days since 1970 in the low 32, shifted
    # so that dates before 1970 are positive. Consecutive dates of one title are then consecutive integers.
    title = (rows.series[positions] << 40) + (rows.rank[positions] << 32)
    key = title + _days(rows)[positions] + (1 << 31)
    dates = np.sort(key)
    dates = dates[np.append(dates[1:] != dates[:-1], True)]
    until = dates.searchsorted(key, side="right")
    since = dates.searchsorted(np.maximum(key - OFTEN_DAYS + 1, title))
    frequent = positions[until - since >= OFTEN]
    left_out = np.bincount(rows.series[frequent], minlength=families)
    if not frequent.size:
        return rows, left_out
    return rows.take(np.delete(np.arange(len(rows.series)), frequent)), left_out


def one_per_release(rows: Rows, configured: int) -> Merged:
    """Merge the rows of each release.

    Parameters
    ----------
    rows
        Of all series.
    configured
        Number of series of the configuration, which are the first; the others are banks and earnings.
    """
    if not rows.series.size:
        none = np.zeros(0, dtype=np.bool_)
        return Merged(rows, rows.times, rows.times, none, none)
    grouped = _group(rows)
    times, two_times = _times(grouped)
    public_at = _public_at(grouped, times)
    figures, contradicting = _figures(grouped)
    merged = replace(grouped.firsts, times=times, figures=figures)
    figures[merged.withdrawn_at != NEVER] = np.nan
    has_actual = grouped.any(np.isfinite(grouped.rows.figures[:, _ACTUAL]))

    order = np.lexsort((merged.times, merged.series))
    merged, public_at, has_actual = merged.take(order), public_at[order], has_actual[order]
    fewest = np.where(merged.series < configured, 1, _FEWEST_EARNINGS)
    never_came = _never_came(merged, public_at, has_actual, fewest)
    return Merged(merged, public_at, never_came, two_times[order], contradicting[order])


def _days(rows: Rows) -> Int64Array:
    """Return the UTC date of each row, as days since 1970, (n,)."""
    return np.asarray(rows.times.view(np.int64) // _DAY.astype(np.int64))


def _group(rows: Rows) -> _Grouped:
    """Sort some rows, at least one, by release; rows that are equal stay in the order of the calendar."""
    days = _days(rows)
    order = np.lexsort(
        (  # the last key counts most
            rows.times,
            rows.rank,
            ~rows.gives_figures,
            ~rows.timed,
            rows.withdrawn_at,
            ~rows.scheduled,
            days,
            rows.series,
        )
    )
    rows, days = rows.take(order), days[order]
    begins = np.ones(len(days), dtype=np.bool_)  # whether a row is the first of its release
    begins[1:] = days[1:] != days[:-1]
    for column in (rows.series, rows.scheduled, rows.withdrawn_at):
        begins[1:] |= column[1:] != column[:-1]
    return _Grouped(rows, np.flatnonzero(begins))


def _times(grouped: _Grouped) -> tuple[DatetimeArray, BoolArray]:
    """Return the time of each release, and whether its rows give several; (releases,) each."""
    rows, firsts = grouped.rows, grouped.firsts
    preferred = rows.timed & (rows.gives_figures == firsts.gives_figures[grouped.release])
    times = np.where(firsts.timed, grouped.latest(preferred).view("datetime64[us]"), firsts.times)
    latest = grouped.latest(rows.timed)
    differs = rows.times.view(np.int64) != latest[grouped.release]
    return times, grouped.any(rows.timed & differs)


def _public_at(grouped: _Grouped, times: DatetimeArray) -> DatetimeArray:
    """Return when the figures of each release at `times` become public, (releases,)."""
    rows, firsts = grouped.rows, grouped.firsts
    # Rows without an actual, such as those of an old schedule, don't delay the figures of the others.
    latest = grouped.latest(rows.timed & np.isfinite(rows.figures[:, _PUBLISHED]).any(axis=1))
    public_at = np.where(latest == _NONE, times, latest.view("datetime64[us]"))
    return np.where(firsts.timed, public_at, times + _DAY)


def _figures(grouped: _Grouped) -> tuple[Float64Array, BoolArray]:
    """Return the figures of each release, (releases, 4), and whether its rows contradict each other."""
    rows, count = grouped.rows, len(grouped.rows.times)
    usable = np.isfinite(rows.figures)
    usable &= (rows.timed == grouped.firsts.timed[grouped.release])[:, None]
    usable[:, _OF_SERIES] &= rows.gives_figures[:, None]
    # (releases, 4): the first row with a usable figure, or `count`, the row of NaN at the end.
    position = np.where(usable, np.arange(count)[:, None], count)
    first = np.minimum.reduceat(position, grouped.starts, axis=0)
    padded = np.concatenate([rows.figures, np.full((1, len(FIGURES)), np.nan)])
    figures = np.take_along_axis(padded, first, axis=0)
    # Each usable actual is compared with that of its release, if it is of the same title and time.
    chosen = first[grouped.release, _ACTUAL].clip(max=count - 1)
    same = (rows.times == rows.times[chosen]) & (rows.rank == rows.rank[chosen])
    actual = rows.figures[:, _ACTUAL]
    contradicting = grouped.any(usable[:, _ACTUAL] & same & (actual != actual[chosen]))
    figures[contradicting, _ACTUAL] = np.nan
    return figures, contradicting


def _never_came(
    rows: Rows,
    public_at: DatetimeArray,
    has_actual: BoolArray,
    fewest: Int64Array,
) -> DatetimeArray:
    """Return since when it is certain of each release, (n,), that it was never published.

    That is from the next release of its series with an actual, if the series usually has actuals up to then:
    at least `fewest`, (n,), and at most `MISSING_SHARE` or one release without. Withdrawn releases count too,
    because a later withdrawal must not change what was seen before.
    """
    count = len(public_at)
    never_came = np.full(count, NEVER)
    lacking = ~has_actual & rows.scheduled
    if not lacking.any():
        return never_came
    with_actual = np.where(has_actual, np.arange(count), count)
    following = np.minimum.accumulate(with_actual[::-1])[::-1]  # the next with an actual, of any series
    first_of_series = rows.series.searchsorted(rows.series)
    actuals_before = np.concatenate([[0], np.cumsum(has_actual)])
    for row in np.flatnonzero(lacking & (following < count)).tolist():
        start, end = first_of_series[row], following[row] + 1
        if rows.series[end - 1] != rows.series[row]:
            continue
        actuals = actuals_before[end] - actuals_before[start]
        releases = end - start
        if actuals >= fewest[row] and releases - actuals <= max(1.0, MISSING_SHARE * releases):
            never_came[row] = public_at[end - 1]
    return never_came
