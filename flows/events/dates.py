"""Finds rows that have a time but are dates: their source stores the day alone, as its midnight.

Read as a time, such a row would show figures up to a day before their publication. The rules:

- Rows of one source and title are dates if all of them are at midnight, of UTC or of New York. Once there is
  a row at another time, the rows from then on are times, and those before stay dates: later rows never change
  what was seen at an earlier instant.
- The five families are never published at midnight, whatever the source.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from market.types import BoolArray, DatetimeArray, Int64Array

NEW_YORK: Final = ZoneInfo("America/New_York")
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


class Origin(NamedTuple):
    """What rows of one source and title have in common."""

    source: str | None
    currency: str | None
    country: str | None
    title: str | None
    symbol: str | None
    is_earnings: bool


@dataclass(frozen=True)
class DatedRows:
    """How many rows of one source were read as dates although `time_known` is true."""

    source: str | None
    count: int


def at_midnight(times: DatetimeArray) -> BoolArray:
    """Tell which instants, (n,), are 00:00 of UTC or of New York."""
    time_of_day = times.view(np.int64) % _DAY_US
    midnight: BoolArray = time_of_day == 0
    # Midnight of New York is 04:00 UTC in summer and 05:00 UTC in winter.
    for row in np.flatnonzero((time_of_day == 4 * _HOUR_US) | (time_of_day == 5 * _HOUR_US)).tolist():
        moment: Any = times[row].item()  # a datetime; NumPy types it as Any
        midnight[row] = moment.replace(tzinfo=UTC).astimezone(NEW_YORK).hour == 0
    return midnight


def midnight_of(times: DatetimeArray) -> DatetimeArray:
    """Return 00:00 UTC of the date of each instant, (n,) datetime64[us]."""
    return times.astype("datetime64[D]").astype("datetime64[us]")


def as_dates(
    origins: Sequence[Origin],
    origin: Int64Array,
    times: DatetimeArray,
    timed: BoolArray,
    in_family: BoolArray,
) -> tuple[DatetimeArray, BoolArray, list[DatedRows]]:
    """Turn the times of rows that are dates into dates.

    Parameters
    ----------
    origins
        Distinct origins.
    origin : (n,)
        Of each row, the position in `origins`.
    times, timed : (n,)
        Of each row, its time, and whether that is more than a date.
    in_family : (n,)
        Whether the row belongs to one of the five families.

    Returns
    -------
    times, timed : (n,)
        With 00:00 UTC and False for the rows that are dates.
    list of DatedRows
        The rows that were changed, by source.
    """
    midnight = timed & at_midnight(times)
    if not midnight.any():
        return times, timed, []
    dated = midnight & in_family
    for number in set(origin[midnight & ~in_family].tolist()):
        of_origin = origin == number
        other_times = times[of_origin & timed & ~midnight]
        dated |= of_origin & midnight & (times < other_times.min() if other_times.size else True)
    counts = Counter(origins[number].source for number in origin[dated].tolist())
    changed = [DatedRows(source, counts[source]) for source in sorted(counts, key=str)]
    return np.where(dated, midnight_of(times), times), timed & ~dated, changed
