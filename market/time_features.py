"""The five calendar fields of a timestamp that the model embeds."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import numpy as np

from market.types import DatetimeArray, Int64Array

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_features(timestamps: DatetimeArray, time_zone: str = "UTC") -> Int64Array:
    """Minute, hour, weekday (Monday 0), day of month and month on the model's clock: (N,) to (N, 5) int64.

    Parameters
    ----------
    timestamps
        (N,) datetime64 in UTC, of a whole window: where all of them stand at 00:00 they are dates, as those
        of daily candles, and stay as they are on any clock.
    time_zone
        IANA name of the clock, such as Asia/Shanghai.
    """
    timestamps = _wall_times(timestamps, time_zone)
    minutes = timestamps.astype("datetime64[m]").astype(np.int64)
    days = timestamps.astype("datetime64[D]")
    months = timestamps.astype("datetime64[M]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    day = (days - months).astype(np.int64) + 1
    month = months.astype(np.int64) % 12 + 1
    return np.stack([minutes % 60, minutes // 60 % 24, weekday, day, month], axis=-1)


@cache
def known_time_zones() -> frozenset[str]:
    """IANA names that this machine knows."""
    return frozenset(available_timezones())


def _wall_times(timestamps: DatetimeArray, time_zone: str) -> DatetimeArray:
    """What a clock on the wall shows at each instant, as datetime64 without a zone."""
    if time_zone == "UTC" or not (timestamps.astype("datetime64[D]") != timestamps).any():
        return timestamps
    zone, seconds = ZoneInfo(time_zone), timestamps.astype("datetime64[s]").astype(np.int64)
    moments = [(_EPOCH + timedelta(seconds=second)).astimezone(zone) for second in seconds.tolist()]
    return np.asarray(timestamps + np.array([each.utcoffset() for each in moments], "timedelta64[s]"))
