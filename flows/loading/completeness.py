"""Compares what a feed gives with what it gave before, so that a shortened answer is not taken for whole."""

from collections.abc import Mapping
from datetime import date
from typing import Final

import polars as pl

DaysOfRows = Mapping[date, int]
"""Number of rows of a feed by the UTC date of their times."""

KEPT_DAYS: Final = 1000
"""The last days that are remembered of a feed."""


def days_of(times: pl.Series) -> dict[date, int]:
    """Return the number of rows of each of the last `KEPT_DAYS` dates that have any, in order.

    Parameters
    ----------
    times
        Instants, in UTC.
    """
    counts = times.dt.date().value_counts().sort(times.name).tail(KEPT_DAYS)
    return dict(counts.iter_rows())


def why_shortened(before: DaysOfRows, now: DaysOfRows, least_share: float) -> str | None:
    """Return why a feed's rows look as if it had been shortened, or None.

    The span compared begins after the first date of `now`: the window of a feed may move on, and cut that
    date. A single row may be missing anywhere, since a release may be cancelled.

    Parameters
    ----------
    before, now
        What it gave at the last load, and what it gives now, not empty.
    least_share
        Share of the rows before that it must give again; 0 accepts any rows.
    """
    if not before or least_share <= 0:
        return None
    start, end = min(now), max(before)
    expected = sum(rows for day, rows in before.items() if day > start)
    given = sum(rows for day, rows in now.items() if start < day <= end)
    missing_at_end = sum(rows for day, rows in before.items() if day > max(now))
    if missing_at_end > 1:
        return _shortened(f"it ends on {max(now)}, and had {missing_at_end:,} later rows before")
    if given < least_share * expected and expected - given > 1:
        return _shortened(
            f"after {start} and until {end} it has {given:,} rows, less than {least_share:.0%} of the "
            f"{expected:,} that it had there before"
        )
    return None


def _shortened(reason: str) -> str:
    return f"it is shortened: {reason}; if that is right, run once with least_share 0 to accept it"
