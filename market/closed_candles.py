"""Selects the last candles of a symbol that had closed by an instant, the same for server and flows."""

from typing import Final

import numpy as np

from market.instruments import Instrument
from market.time_grid import closed_by
from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray, Int64Array

STILL_OPEN: Final = 2
"""Candles that may have opened but not closed by an instant; queries read this many beyond the lookback."""


def last_closed(
    timestamps: DatetimeArray,
    timeframe: str,
    as_of: np.datetime64,
    lookback: int,
    instrument: Instrument | None,
    spacing: np.timedelta64 | None = None,
) -> Int64Array:
    """Return the positions of the last candles that had closed by an instant, at most `lookback`.

    Parameters
    ----------
    timestamps
        (T,) opens of the candles in UTC, oldest first.
    as_of
        The instant, UTC.
    lookback
        At least 1.
    instrument
        Its trading calendar gives the closes of the candles; None where it is unknown, and each candle then
        lasts an hour or a day.
    spacing
        Duration of each candle where it is not that of `timeframe`.

    Returns
    -------
    (n,) int64, increasing, n at most `lookback`.

    Raises
    ------
    market.time_grid.TimeGridError
        The timeframe or the calendar is unknown, or does not cover a timestamp.
    """
    if instrument is None or spacing is not None:
        length = CANDLE_LENGTH[timeframe] if spacing is None else spacing
        closed = timestamps + length <= as_of
    else:
        closed = closed_by(instrument, timeframe, timestamps, as_of)
    return np.flatnonzero(closed)[-lookback:]
