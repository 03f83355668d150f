"""Parses the instants of requests, ISO 8601 or Unix times, into datetime64 in UTC."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from inference_server.errors import InvalidRequest
from inference_server.schemas import Instant
from market.types import DatetimeArray
from market.unix_time import from_epoch, read_instant

_MILLISECONDS: Final = (10**11, 7 * 10**12)  # to 2191


def parse_instant(value: Instant, field: str) -> np.datetime64:
    """Return an instant as datetime64[us] in UTC.

    Parameters
    ----------
    value
        ISO 8601 (naive means UTC, a date alone its midnight) or a Unix time in seconds, milliseconds,
        microseconds or nanoseconds, as `from_epoch` tells them apart.
    field
        The field's name, for the error.

    Raises
    ------
    InvalidRequest
        If it cannot be read or lies outside the years 1900 to 2199.
    """
    instant = from_epoch(value) if isinstance(value, int) else read_instant(value)
    if instant is None:
        shown = value if isinstance(value, int) and abs(value) < 2**63 else str(value)[:80]
        raise InvalidRequest(
            f"{field} is {shown!r}, which is no instant from 1900 to 2199",
            given=shown,
            expected="ISO 8601 such as 2024-06-28T15:00:00Z, or a Unix time (seconds from 1973 on, "
            "milliseconds, microseconds or nanoseconds)",
        )
    return instant


def parse_instants(values: Sequence[Instant], field: str) -> DatetimeArray:
    """Return instants as a datetime64[us] array.

    Raises
    ------
    InvalidRequest
        If an instant cannot be read, or they are not strictly increasing; the error names the row.
    """
    instants = _of_milliseconds(values)
    if instants is None:
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


def _of_milliseconds(values: Sequence[Instant]) -> DatetimeArray | None:
    """Return instants that are all Unix times in milliseconds, the usual form, or None if one is not."""
    if not all(type(value) is int and _MILLISECONDS[0] <= value < _MILLISECONDS[1] for value in values):
        return None
    return (np.array(values, dtype=np.int64) * 1000).astype("datetime64[us]")
