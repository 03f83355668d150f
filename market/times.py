"""Converts instants between datetime, NumPy's datetime64 and text; all of them in UTC."""

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np

from market.types import DatetimeArray


def in_utc(moment: datetime) -> datetime:
    """Return a time as an aware datetime in UTC; a naive one means UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def instant(moment: datetime) -> np.datetime64:
    """Return a time as datetime64[us] in UTC; a naive one means UTC."""
    return np.datetime64(in_utc(moment).replace(tzinfo=None), "us")


def instants(moments: Iterable[datetime]) -> DatetimeArray:
    """Return times as (n,) datetime64[us] in UTC; naive ones mean UTC."""
    return np.array([in_utc(moment).replace(tzinfo=None) for moment in moments], dtype="datetime64[us]")


def aware(instant: np.datetime64) -> datetime:
    """Return an instant of any unit as an aware datetime in UTC, cut to microseconds."""
    moment: datetime = instant.astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)


def awares(instants: DatetimeArray) -> list[datetime]:
    """Return (n,) instants of any unit as aware datetimes in UTC, cut to microseconds."""
    return [moment.replace(tzinfo=UTC) for moment in instants.astype("datetime64[us]").tolist()]


def minute_text(instant: np.datetime64) -> str:
    """Return an instant as ISO 8601 text to the minute, such as ``2024-06-03T13:30Z``."""
    return f"{np.datetime_as_string(instant, unit='m')}Z"
