"""Rows that claim a time and only know a date: a source that writes the day alone, stored as its midnight.

Such a row would put figures on the table up to a day before anybody knew them. The rules, at reading:

- A source whose rows all stand at midnight, of UTC or of New York, knows dates; so does a source that has
  times for some titles of those titles whose rows all stand at midnight. Once a title has a row at another
  time its times are known from then on, and its rows before stay dates: later rows never change what an
  earlier instant saw.
- A release of the five tracked families of the United States is never out at midnight, whoever says so.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from market.types import BoolArray, DatetimeArray, Int64Array

NEW_YORK: Final = ZoneInfo("America/New_York")
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US

Origin = tuple[str | None, str | None, str | None, str | None, str | None, bool]
"""What a row is one of many of: source, currency, country, title, symbol, and whether it means earnings."""


@dataclass(frozen=True)
class DatedRows:
    """How many tracked rows of one source were read as dates though they claim a time."""

    source: str | None
    count: int


def at_midnight(times: DatetimeArray) -> BoolArray:
    """Tell which instants, (n,), are 00:00 of UTC or of New York."""
    of_day = times.view(np.int64) % _DAY_US
    found: BoolArray = of_day == 0
    for row in np.flatnonzero((of_day == 4 * _HOUR_US) | (of_day == 5 * _HOUR_US)).tolist():
        moment: Any = times[row].item()  # a datetime, which NumPy's types don't know
        found[row] = moment.replace(tzinfo=UTC).astimezone(NEW_YORK).hour == 0
    return found


def as_dates(
    origins: Sequence[Origin],
    origin: Int64Array,
    times: DatetimeArray,
    timed: BoolArray,
    in_family: BoolArray,
) -> tuple[DatetimeArray, BoolArray, list[DatedRows]]:
    """Read rows that only know their date as dates.

    Parameters
    ----------
    origins
        What rows are one of many of, each once.
    origin : (n,)
        Of each row, the position of its own among them.
    times, timed : (n,)
        When, and whether that is known to the minute.
    in_family : (n,)
        Whether the row belongs to one of the five families.

    Returns
    -------
    times, timed : (n,)
        With the dates' 00:00 UTC and False where only the date is known.
    list of DatedRows
        By source, what was changed.
    """
    midnight = timed & at_midnight(times)
    if not midnight.any():
        return times, timed, []
    dated = midnight & in_family
    for number in set(origin[midnight & ~in_family].tolist()):
        mine = origin == number
        with_time = times[mine & timed & ~midnight]
        dated |= mine & midnight & (times < with_time.min() if with_time.size else True)
    counts = Counter(origins[number][0] for number in origin[dated].tolist())
    remarks = [DatedRows(source, counts[source]) for source in sorted(counts, key=str)]
    dates = times.astype("datetime64[D]").astype("datetime64[us]")
    return np.where(dated, dates, times), timed & ~dated, remarks
