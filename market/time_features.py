"""Computes the five calendar fields of a timestamp that the model embeds."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from market.times import awares
from market.types import DatetimeArray, Int64Array


def time_features(timestamps: DatetimeArray, time_zone: str = "UTC") -> Int64Array:
    """Return minute, hour, weekday (Monday 0), day of month and month on a clock: (N,) to (N, 5) int64.

    Parameters
    ----------
    timestamps
        (N,) datetime64 in UTC, of an entire window. Where all of them are at 00:00 they are dates, as those
        of daily candles, and are not moved to the clock.
    time_zone
        IANA name of the clock, such as Asia/Shanghai.
    """
    timestamps = _local_times(timestamps, time_zone)
    minutes = timestamps.astype("datetime64[m]").astype(np.int64)
    days = timestamps.astype("datetime64[D]")
    months = timestamps.astype("datetime64[M]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    day = (days - months).astype(np.int64) + 1
    month = months.astype(np.int64) % 12 + 1
    return np.stack([minutes % 60, minutes // 60 % 24, weekday, day, month], axis=-1)


@cache
def known_time_zones() -> frozenset[str]:
    """Return the IANA names in the time zone data of this machine."""
    return frozenset(available_timezones())


def _local_times(timestamps: DatetimeArray, time_zone: str) -> DatetimeArray:
    """Return the local time at each instant, as datetime64 without a zone."""
    if time_zone == "UTC" or not (timestamps.astype("datetime64[D]") != timestamps).any():
        return timestamps
    zone = ZoneInfo(time_zone)
    offsets = [moment.astimezone(zone).utcoffset() for moment in awares(timestamps)]
    return np.asarray(timestamps + np.array(offsets, "timedelta64[s]"))
