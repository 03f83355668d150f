"""Finds the column with the times of a file, or the two with its dates and times of day."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from flows.files.column_names import DATE, TIME, TIMESTAMP, found

_DATE_WITHIN: Final = r"\d[-/.]\d|\d{8}|[A-Za-z]{3}[a-z]* \d{1,2},"
_CLOCK_WITHIN: Final = r"\d:\d"
_EXAMINED: Final = 1000  # values of a column


def time_columns(frame: pl.DataFrame, by_name: Mapping[str, str]) -> list[str]:
    """Return the names of the columns with time, or date and time of day; none if no name is known.

    Parameters
    ----------
    by_name
        The file's columns by their normal names.
    """
    whole, dates, times = (found(names, by_name) for names in (TIMESTAMP, DATE, TIME))
    if whole:
        return whole[:1]
    if not (dates and times):
        return (dates or times)[:1]
    if holds_dates(frame[times[0]]):
        return times[:1]
    return dates[:1] if _matches(frame[dates[0]], _CLOCK_WITHIN) else [dates[0], times[0]]


def holds_dates(values: pl.Series) -> bool:
    """Return whether a column has dates or Unix times, rather than times of day and words in their place."""
    return _matches(values, _DATE_WITHIN)


def _matches(values: pl.Series, pattern: str) -> bool:
    texts = values.cast(pl.String).drop_nulls().head(_EXAMINED)
    return bool(texts.str.contains(pattern).any())
