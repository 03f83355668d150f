"""Reads instants from ISO 8601 text, and from Unix times whose unit follows from their size."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from market.times import instant
from market.types import DatetimeArray, Int64Array

EARLIEST: Final = np.datetime64("1900-01-01", "us")
LATEST: Final = np.datetime64("2200-01-01", "us")

# Smallest magnitude of Unix times in nanoseconds, microseconds, milliseconds and seconds, and the factor and
# divisor that turn them into microseconds. Each range begins in 1973 and ends in 5138, so that a number has
# only one reading, and never one in 1970.
_UNITS: Final = ((10**17, 1, 1000), (10**14, 1, 1), (10**11, 1000, 1), (10**8, 10**6, 1))
_END_OF_NANOSECONDS: Final = 10**20
_NUMBER: Final = re.compile(r"[+-]?\d{8,}(\.\d+)?")


def from_epoch(value: int | Decimal) -> np.datetime64 | None:
    """Return a Unix time as datetime64[us] in UTC; its unit follows from its size.

    From 10⁸ (March 1973) on it is seconds, from 10¹¹ milliseconds, from 10¹⁴ microseconds, from 10¹⁷
    nanoseconds; below zero likewise. Eight digits that are a date, such as 20240628, are that date.

    Returns
    -------
    datetime64 or None
        None for other numbers, and outside the years 1900 to 2199.
    """
    if value == int(value) and (day := _date_of_digits(int(value))) is not None:
        return day
    size = value if value >= 0 else -value
    if size >= _END_OF_NANOSECONDS:
        return None
    unit = next((unit for unit in _UNITS if unit[0] <= size), None)
    if unit is None:
        return None
    _, factor, divisor = unit
    microseconds = int(value * factor // divisor)
    if not -(2**62) < microseconds < 2**62:
        return None
    parsed = np.datetime64(microseconds, "us")
    return parsed if EARLIEST <= parsed < LATEST else None


def from_epochs(values: Int64Array) -> DatetimeArray:
    """Return `from_epoch` of (n,) whole numbers as datetime64[us]; NaT where it is None."""
    size = np.abs(values)  # the smallest integer stays negative, and is below every unit
    instants = np.full(values.shape, np.datetime64("NaT", "us"))
    upper = np.iinfo(np.int64).max
    for lower, factor, divisor in _UNITS:
        inside = (size >= lower) & (size <= upper)
        instants[inside] = (values[inside] * factor // divisor).astype("datetime64[us]")
        upper = lower - 1
    instants[~((instants >= EARLIEST) & (instants < LATEST))] = np.datetime64("NaT", "us")
    for place in np.flatnonzero((values >= 19_000_101) & (values <= 21_991_231)):
        day = _date_of_digits(int(values[place]))
        if day is not None:
            instants[place] = day
    return instants


def read_instant(text: str) -> np.datetime64 | None:
    """Return ISO 8601 text (naive means UTC, a date alone its midnight) or a Unix time written in digits.

    Returns
    -------
    datetime64 or None
        datetime64[us] in UTC; None for other text, and outside the years 1900 to 2199.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return from_epoch(Decimal(text))
    try:
        parsed = instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
    return parsed if EARLIEST <= parsed < LATEST else None


def _date_of_digits(value: int) -> np.datetime64 | None:
    """Return the midnight that YYYYMMDD means, or None."""
    if not 19_000_101 <= value <= 21_991_231:
        return None
    try:
        return np.datetime64(date(value // 10_000, value // 100 % 100, value % 100), "us")
    except ValueError:
        return None
