"""One event per release, from all rows that speak of it; the rules:

- Rows of one series on one UTC date are one release, scheduled, unscheduled and withdrawn ones apart.
- A known time beats a date. Of several times the latest counts, first among rows that carry the series'
  figures. The figures are public at the latest time of a row that has some: never before anybody knew them.
- Each figure is the first one published, of the title that the configuration names first; the rows of one
  title that give one time different actuals contradict each other, and the release has none.
- Revisions of `previous` are ignored; an actual that is missing though the time has passed is no surprise.
- A title that comes more often than its family can is no schedule: it is left out.
- A past release without an actual never came, if nearly all of its series have one, from the instant on in
  which a later release of the series was public. Where figures are the exception, as with speeches,
  statements and earnings dates, nothing follows from their lack.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flows.events.rows import FIGURES, NEVER, Rows
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

MISSING_SHARE: Final = 0.15  # of a series' releases may lack figures and they are still the rule
OFTEN: Final = 5  # releases of one title within `OFTEN_DAYS` that no tracked family has
OFTEN_DAYS: Final = 30
_FEWEST_EARNINGS: Final = 4  # a year of them
_DAY: Final = np.timedelta64(1, "D").astype("timedelta64[us]")
_TELLING: Final = [FIGURES.index("actual"), FIGURES.index("hawkish_score")]
_OUTCOMES: Final = slice(0, FIGURES.index("hawkish_score"))


@dataclass(frozen=True)
class Merged:
    """One event per release, ordered by series and time; (n,) each.

    Attributes
    ----------
    rows
        As `Rows`, with the figures that count.
    public_at
        When the figures are public.
    never_came
        From when on it is clear that the release never came; `NEVER` where it did or may.
    two_times
        Several rows give several times.
    contradicting
        Rows of one time give different actuals.
    """

    rows: Rows
    public_at: DatetimeArray
    never_came: DatetimeArray
    two_times: BoolArray
    contradicting: BoolArray


def leave_out_frequent(rows: Rows, families: int) -> tuple[Rows, Int64Array]:
    """Leave out titles of the first `families` series where they come more often than a release can.

    A row goes where its title has stood on five dates within the 30 days up to it. Returns the rows that
    stay, and by series how many went.
    """
    tracked = np.flatnonzero(rows.series < families)
    if not tracked.size:
        return rows, np.zeros(families, dtype=np.int64)
    title = (rows.series[tracked] << 40) + (rows.rank[tracked] << 32)
    key = title + _days(rows)[tracked] + (1 << 31)  # room for the days of every year
    dates = np.sort(key)
    dates = dates[np.append(dates[1:] != dates[:-1], True)]
    last = dates.searchsorted(key, side="right")
    often = tracked[last - dates.searchsorted(np.maximum(key - OFTEN_DAYS + 1, title)) >= OFTEN]
    gone = np.bincount(rows.series[often], minlength=families)
    return (rows.take(np.delete(np.arange(len(rows.series)), often)) if often.size else rows), gone


def one_per_release(rows: Rows, configured: int) -> Merged:
    """Merge the rows of one series and date; the first `configured` series are those of the configuration."""
    days = _days(rows)
    # The last key counts first; rows that tie stay in the order of the calendar.
    keys = (rows.times, rows.rank, ~rows.carries, ~rows.timed, rows.withdrawn_at, ~rows.scheduled, days)
    rows = rows.take(np.lexsort((*keys, rows.series)))
    if not days.size:
        none = np.zeros(0, dtype=np.bool_)
        return Merged(rows, rows.times, rows.times, none, none)
    starts = _starts(rows)
    event = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(days)))  # of each row
    firsts = rows.take(starts)
    times, public_at, two_times = _times(rows, firsts, starts, event)
    figures, contradicting = _figures(rows, firsts, starts, event)
    withdrawn = firsts.withdrawn_at != NEVER
    figures[withdrawn] = np.nan
    has_actual = np.maximum.reduceat(np.isfinite(rows.figures[:, 0]), starts)
    merged = replace(firsts, times=times, figures=figures)
    order = np.lexsort((merged.times, merged.series))
    merged, public_at = merged.take(order), public_at[order]
    fewest = np.where(merged.series < configured, 1, _FEWEST_EARNINGS)
    gone = _never_came(merged, public_at, has_actual[order], fewest)
    return Merged(merged, public_at, gone, two_times[order], contradicting[order])


def _days(rows: Rows) -> Int64Array:
    """Return the UTC date of each row, as days since 1970."""
    return np.asarray(rows.times.view(np.int64) // _DAY.astype(np.int64))


def _starts(rows: Rows) -> Int64Array:
    """Return where each release begins among sorted rows."""
    days = _days(rows)
    new = np.ones(len(days), dtype=np.bool_)
    new[1:] = (rows.series[1:] != rows.series[:-1]) | (days[1:] != days[:-1])
    new[1:] |= rows.scheduled[1:] != rows.scheduled[:-1]
    new[1:] |= rows.withdrawn_at[1:] != rows.withdrawn_at[:-1]
    return np.flatnonzero(new)


def _times(
    rows: Rows, firsts: Rows, starts: Int64Array, event: Int64Array
) -> tuple[DatetimeArray, DatetimeArray, BoolArray]:
    """Return when each release is, when its figures are public, and whether rows give several times."""
    ticks = rows.times.view(np.int64)
    lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    counts = rows.timed & (rows.carries == (firsts.carries & firsts.timed)[event])
    latest = np.maximum.reduceat(np.where(counts, ticks, lowest), starts)
    # A row without figures, such as an old schedule, doesn't delay those of another.
    telling = rows.timed & np.isfinite(rows.figures[:, _TELLING]).any(axis=1)
    told = np.maximum.reduceat(np.where(telling, ticks, lowest), starts)
    public = np.where(told == lowest, latest, told)
    extremes = [
        reduce.reduceat(np.where(rows.timed, ticks, other), starts)
        for reduce, other in ((np.minimum, highest), (np.maximum, lowest))
    ]
    times = np.where(firsts.timed, latest.view("datetime64[us]"), firsts.times)
    public_at = np.where(firsts.timed, public.view("datetime64[us]"), firsts.times + _DAY)
    return times, public_at, firsts.timed & (extremes[0] < extremes[1])


def _figures(
    rows: Rows, firsts: Rows, starts: Int64Array, event: Int64Array
) -> tuple[Float64Array, BoolArray]:
    """Return the figures of each release, (events, 4), and whether its rows contradict each other."""
    count = len(rows.times)
    usable = np.isfinite(rows.figures) & (rows.timed == firsts.timed[event])[:, None]
    usable[:, _OUTCOMES] &= rows.carries[:, None]
    nth = np.where(usable, np.arange(count)[:, None], count)
    first = np.minimum.reduceat(nth, starts, axis=0)  # (events, 4): the row that each figure is taken from
    padded = np.concatenate([rows.figures, np.full((1, len(FIGURES)), np.nan)])
    figures = np.take_along_axis(padded, first, axis=0)
    source = first[event, 0].clip(max=count - 1)  # of each row, that which its release's actual is taken from
    other = usable[:, 0] & (rows.figures[:, 0] != rows.figures[source, 0])
    other &= (rows.times == rows.times[source]) & (rows.rank == rows.rank[source])
    contradicting = np.asarray(np.maximum.reduceat(other, starts))
    figures[contradicting, 0] = np.nan
    return figures, contradicting


def _never_came(
    rows: Rows,
    public_at: DatetimeArray,
    has_actual: BoolArray,
    fewest: Int64Array,
) -> DatetimeArray:
    """Return from when on it is clear of each release that it never came.

    At least `fewest` of its series up to then must have figures, (n,). Withdrawn rows count like others: what
    was withdrawn later must not change what was seen before.
    """
    gone = np.full(len(public_at), NEVER)
    count = len(public_at)
    lacking = ~has_actual & rows.scheduled
    if not lacking.any():
        return gone
    places = np.arange(count)
    following = np.where(has_actual, places, count)[::-1]
    later = np.minimum.accumulate(following)[::-1]  # the next that has figures
    begins = rows.series.searchsorted(rows.series)  # of its series
    with_figures = np.concatenate([[0], np.cumsum(has_actual)])
    for row in np.flatnonzero(lacking & (later < count)).tolist():
        end = later[row] + 1
        if rows.series[end - 1] != rows.series[row]:
            continue
        whole = end - begins[row]
        having = with_figures[end] - with_figures[begins[row]]
        if having >= fewest[row] and whole - having <= max(1.0, MISSING_SHARE * whole):
            gone[row] = public_at[end - 1]
    return gone
