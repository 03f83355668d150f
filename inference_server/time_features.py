"""The five calendar fields of a timestamp that the model embeds."""

import numpy as np
from numpy.typing import NDArray

DatetimeArray = NDArray[np.datetime64]


def time_features(timestamps: DatetimeArray) -> NDArray[np.int64]:
    """Minute, hour, weekday (Monday 0), day of month and month in UTC: (N,) to (N, 5) int64."""
    minutes = timestamps.astype("datetime64[m]").astype(np.int64)
    days = timestamps.astype("datetime64[D]")
    months = timestamps.astype("datetime64[M]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    day = (days - months).astype(np.int64) + 1
    month = months.astype(np.int64) % 12 + 1
    return np.stack([minutes % 60, minutes // 60 % 24, weekday, day, month], axis=-1)
