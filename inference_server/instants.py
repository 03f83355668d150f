"""Instants as callers write them: ISO 8601 or epoch milliseconds in, datetime64 in UTC out."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from inference_server.errors import InvalidRequest
from inference_server.schemas import Instant

Datetimes = NDArray[np.datetime64]

EARLIEST = np.datetime64("1900-01-01", "us")
LATEST = np.datetime64("2200-01-01", "us")
_SMALLEST_MILLISECONDS = 10**11  # 1973; a smaller number is a time in seconds by mistake
_LARGEST_MILLISECONDS = 10**13


def parse_instant(value: Instant, field: str) -> np.datetime64:
    """Return an instant as datetime64[us] in UTC.

    Parameters
    ----------
    value
        ISO 8601 (naive means UTC, a date alone its midnight) or epoch milliseconds.
    field
        The field's name, for the error.

    Raises
    ------
    InvalidRequest
        If it cannot be read or lies outside the years 1900 to 2199.
    """
    instant: np.datetime64 | None = None
    if isinstance(value, int):
        if _SMALLEST_MILLISECONDS <= abs(value) < _LARGEST_MILLISECONDS:
            instant = np.datetime64(value * 1000, "us")
    else:
        try:
            moment = datetime.fromisoformat(value.strip())
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
            instant = np.datetime64(moment, "us")
        except (ValueError, OverflowError):
            pass
    if instant is None or not EARLIEST <= instant < LATEST:
        given = value if isinstance(value, int) and abs(value) < 2**63 else str(value)[:80]
        raise InvalidRequest(
            f"{field} is {given!r}, which is no instant from 1900 to 2199",
            given=given,
            expected="ISO 8601 such as 2024-06-28T15:00:00Z, or epoch milliseconds",
        )
    return instant


def parse_instants(values: Sequence[Instant], field: str) -> Datetimes:
    """Return instants as a datetime64[us] array.

    Raises
    ------
    InvalidRequest
        If one cannot be read, or they are not strictly increasing; the error names the row.
    """
    instants = np.empty(len(values), dtype="datetime64[us]")
    for row, value in enumerate(values):
        instants[row] = parse_instant(value, f"{field}[{row}]")
    backward = np.flatnonzero(np.diff(instants) <= np.timedelta64(0, "us"))
    if backward.size:
        row = int(backward[0]) + 1
        raise InvalidRequest(
            f"{field}[{row}] ({iso(instants[row])}) is not after the one before ({iso(instants[row - 1])})",
            given=iso(instants[row]),
            expected="strictly increasing instants without duplicates",
        )
    return instants


def iso(instant: np.datetime64) -> str:
    """Return an instant as ISO 8601 in UTC, to the second."""
    return f"{np.datetime_as_string(instant, unit='s')}Z"
