"""Warns of releases that can't be right: impossible hours, weekdays and frequencies, contradicting rows."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Final

import numpy as np

from flows.events.config import FAMILIES, RATE
from flows.events.dates import NEW_YORK, DatedRows
from flows.events.merging import OFTEN, OFTEN_DAYS, Merged
from flows.events.rows import NEVER
from market.types import BoolArray, DatetimeArray, Int64Array
from market.warning_codes import WarningCode, warning

MOST_A_YEAR: Final = {"fomc": 12, "cpi": 14, "nfp": 14, "gdp": 14, "pce": 14}
FEWEST_DAYS: Final = 14  # between two scheduled releases of one family
_USUAL_MINUTE: Final = {
    "fomc": 14 * 60,
    "cpi": 510,
    "nfp": 510,
    "gdp": 510,
    "pce": 510,
}  # of the day in New York
_FOMC_BEFORE: Final = (12 * 60 + 15, 14 * 60 + 30)  # before that date its statements were at 12:30 or 14:15
_FOMC_AT_TWO: Final = np.datetime64("2013-03-20", "us")
_PCE_BEFORE_HOLIDAYS: Final = 10 * 60
_TOLERANCE: Final = 15  # minutes
_YEAR: Final = np.timedelta64(365, "D").astype("timedelta64[us]")
_SUNDAY_EVENING: Final = 20 * 60  # UTC, when Monday begins in New Zealand
_SHOWN: Final = 3


def impossible_releases(merged: Merged, first: np.datetime64, last: np.datetime64) -> Iterator[str]:
    """Yield warnings of families whose releases between two instants have impossible times or numbers."""
    rows = merged.rows
    valid = rows.scheduled & (rows.withdrawn_at == NEVER) & (merged.never_came == NEVER)
    inside = (rows.times >= first) & (rows.times <= last)
    for number, family in enumerate(FAMILIES):
        start, end = rows.series.searchsorted([number, number + 1])
        releases = np.flatnonzero(valid[start:end]) + start
        times, near = rows.times[releases], inside[releases]
        if not near.any():
            continue
        yield from _unusual(family, times[near], rows.timed[releases][near])
        yield from _too_many(family, times, near)


def doubtful_releases(
    merged: Merged, names: dict[str, int], first: np.datetime64, last: np.datetime64, now: np.datetime64
) -> Iterator[str]:
    """Yield warnings of releases between two instants whose rows disagree, or that were never published."""
    rows = merged.rows
    inside = (rows.times >= first) & (rows.times <= last)
    cases = (
        (
            merged.two_times,
            WarningCode.TWO_RELEASE_TIMES,
            "rows of the calendar give two times for one release, of which the later counts",
        ),
        (
            merged.contradicting,
            WarningCode.CONTRADICTING_FIGURES,
            "rows of the calendar give one release different actuals, so that it has none here",
        ),
        (
            merged.never_came < now,
            WarningCode.RELEASE_NEVER_CAME,
            "a past release has no actual though a later one of its series has, so that it is no event",
        ),
    )
    for releases, code, sentence in cases:
        affected = np.flatnonzero(releases & inside)
        if affected.size:
            name_of = {number: name for name, number in names.items()}
            listed = [
                f"{name_of[int(rows.series[row])]} {_text(rows.times[row], bool(rows.timed[row]))}"
                for row in affected.tolist()
            ]
            yield warning(code, f"{sentence}: {_first(listed)}")


def dated_rows(dated: list[DatedRows]) -> Iterator[str]:
    """Yield a warning for each source with rows that were read as dates."""
    for rows in dated:
        source = "rows without a source" if rows.source is None else f"source {rows.source!r}"
        yield warning(
            WarningCode.CALENDAR_DATES,
            f"{source}: {rows.count} tracked releases are at midnight and are read as dates, whose "
            "figures count when the day is over; mend the stored rows with python -m flows.mend_calendar",
        )


def left_out(too_frequent: Int64Array) -> Iterator[str]:
    """Yield a warning for each family with rows whose title is too frequent for a schedule.

    Parameters
    ----------
    too_frequent : (families,)
        Number of such rows.
    """
    for number in np.flatnonzero(too_frequent).tolist():
        yield warning(
            WarningCode.RELEASES_TOO_FREQUENT,
            f"{too_frequent[number]} rows of {FAMILIES[number]} are left out: a title that comes "
            f"{OFTEN} times in {OFTEN_DAYS} days is no schedule of releases",
        )


def _unusual(family: str, times: DatetimeArray, timed: BoolArray) -> Iterator[str]:
    minutes = times.view(np.int64) // 60_000_000
    minutes = minutes + np.where(timed, [_offset(day) for day in (minutes // 1440).tolist()], 0)
    minute, weekend = minutes % 1440, (minutes // 1440 + 3) % 7 > 4  # 1970-01-01 was a Thursday
    unusual = timed & ~weekend & ~_are_usual(family, minute, times)
    if unusual.any():
        listed = [
            f"{_text(times[row], timed=True)} ({minute[row] // 60:02d}:{minute[row] % 60:02d} New York)"
            for row in np.flatnonzero(unusual).tolist()
        ]
        usual = time(*divmod(_USUAL_MINUTE[family], 60))
        yield warning(
            WarningCode.UNUSUAL_RELEASE_TIME,
            f"{family} is away from {usual:%H:%M} New York: {_first(listed)}; is the file in another "
            "time zone (flows.load calendar --timezone)?",
        )
    if weekend.any():
        listed = [_text(times[row], bool(timed[row])) for row in np.flatnonzero(weekend).tolist()]
        yield warning(WarningCode.UNUSUAL_RELEASE_TIME, f"{family} is on a weekend: {_first(listed)}")


def _are_usual(family: str, minute: Int64Array, times: DatetimeArray) -> BoolArray:
    usual: BoolArray = np.abs(minute - _USUAL_MINUTE[family]) <= _TOLERANCE
    if family == "pce":
        usual |= np.abs(minute - _PCE_BEFORE_HOLIDAYS) <= _TOLERANCE
    if family == "fomc":
        first, last = _FOMC_BEFORE
        usual |= (times < _FOMC_AT_TWO) & (first <= minute) & (minute <= last)
    return usual


def _too_many(family: str, times: DatetimeArray, near: BoolArray) -> Iterator[str]:
    number = np.arange(1, len(times) + 1) - times.searchsorted(times - _YEAR, side="right")
    most = int(np.argmax(np.where(near, number, 0)))
    if number[most] > MOST_A_YEAR[family]:
        yield warning(
            WarningCode.RELEASES_TOO_FREQUENT,
            f"{number[most]} releases of {family} in the year up to {times[most].astype('datetime64[D]')}, "
            f"and there are at most {MOST_A_YEAR[family]}: does the calendar hold old schedules "
            "(flows.load calendar --replace)?",
        )
    close = np.flatnonzero((np.diff(times) < np.timedelta64(FEWEST_DAYS, "D")) & near[1:])
    if close.size:
        pairs = [f"{_text(times[row], timed=True)} and {_text(times[row + 1], timed=True)}" for row in close]
        yield warning(
            WarningCode.RELEASES_TOO_FREQUENT,
            f"two releases of {family} less than {FEWEST_DAYS} days apart: {_first(pairs)}; was one moved "
            "(flows.load calendar --replace)?",
        )


def weekend_decisions(
    merged: Merged, names: dict[str, int], first: np.datetime64, last: np.datetime64
) -> Iterator[str]:
    """Yield a warning of scheduled decisions of central banks on a weekend.

    Those of China are exempt: some Saturdays and Sundays around its holidays are working days there.
    """
    rows = merged.rows
    odd = (rows.times >= first) & (rows.times <= last) & rows.scheduled & (rows.withdrawn_at == NEVER)
    odd &= (rows.series >= len(FAMILIES)) & (merged.never_came == NEVER)
    minutes = rows.times.view(np.int64) // 60_000_000
    weekday, minute = (minutes // 1440 + 3) % 7, minutes % 1440
    odd &= (weekday == 5) | ((weekday == 6) & (~rows.timed | (minute < _SUNDAY_EVENING)))
    if odd.any():
        name_of = {number: name for name, number in names.items()}
        listed = [
            f"{name} {_text(rows.times[row], bool(rows.timed[row]))}"
            for row in np.flatnonzero(odd).tolist()
            if (name := name_of[int(rows.series[row])]).startswith(RATE) and name != RATE + "CNY"
        ]
        if listed:
            yield warning(WarningCode.UNUSUAL_RELEASE_TIME, f"decisions are on a weekend: {_first(listed)}")


@lru_cache(maxsize=1 << 14)
def _offset(day: int) -> int:
    """Return New York's offset from UTC at noon of a day since 1970, minutes."""
    noon = datetime.combine(date.fromordinal(day + 719_163), time(12), UTC)
    offset: Any = noon.astimezone(NEW_YORK).utcoffset()
    return int(offset.total_seconds()) // 60


def _text(instant: np.datetime64, timed: bool) -> str:
    moment: Any = instant.item()  # a datetime; NumPy types it as Any
    return f"{moment:%Y-%m-%d %H:%M} UTC" if timed else f"{moment:%Y-%m-%d}"


def _first(listed: list[str]) -> str:
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(listed[:_SHOWN]) + more
