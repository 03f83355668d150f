"""Reads instants from text and numbers: ISO 8601, or a Unix time whose unit follows from its size."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from market.times import instant

EARLIEST: Final = np.datetime64("1900-01-01", "us")
LATEST: Final = np.datetime64("2200-01-01", "us")

# Seconds, milliseconds, microseconds and nanoseconds since 1970 by their size: each range ends in the year
# 5138 of its unit and begins in 1973, so a number can be read in one way only, and never as 1970.
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
        None for a number that is none of these, or outside the years 1900 to 2199.
    """
    if value == int(value) and (day := _digits_of_a_date(int(value))) is not None:
        return day
    size = value if value >= 0 else -value
    unit = next((unit for unit in _UNITS if unit[0] <= size < _END_OF_NANOSECONDS), None)
    if unit is None:
        return None
    microseconds = int(value * unit[1] // unit[2])
    if not -(2**62) < microseconds < 2**62:
        return None
    parsed = np.datetime64(microseconds, "us")
    return parsed if EARLIEST <= parsed < LATEST else None


def read_instant(text: str) -> np.datetime64 | None:
    """Return ISO 8601 text (naive means UTC, a date alone its midnight) or a Unix time written in digits.

    Returns
    -------
    datetime64 or None
        datetime64[us] in UTC; None where the text is neither, or outside the years 1900 to 2199.
    """
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return from_epoch(Decimal(text))
    try:
        parsed = instant(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
    return parsed if EARLIEST <= parsed < LATEST else None


def _digits_of_a_date(value: int) -> np.datetime64 | None:
    """Return the midnight that YYYYMMDD means, or None."""
    if not 19_000_101 <= value <= 21_991_231:
        return None
    try:
        return np.datetime64(date(value // 10_000, value // 100 % 100, value % 100), "us")
    except ValueError:
        return None
