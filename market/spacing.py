"""How far apart candles are, and whether that is what their timeframe says."""

from typing import Final

import numpy as np

from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray

_TOLERANCE: Final = 0.1  # a day is 23 hours long when the clocks go forward
_MAY_BE_CLOSER: Final = 0.25  # hours that begin anew at an open or a close follow one of half an hour
_MUST_BE_THERE: Final = 0.05  # of the steps; a session of two hours leaves a half, a sparse feed a few
_ENOUGH: Final = 5  # steps, before candles can be said to be too far apart: a weekend is no weekly candle
_UNITS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def typical_spacing(timestamps: DatetimeArray) -> np.timedelta64 | None:
    """Return the most common step between timestamps, the smallest of equally common ones.

    Parameters
    ----------
    timestamps : (n,) datetime64[us]
        Increasing.

    Returns
    -------
    timedelta64[us] or None
        None for fewer than two timestamps.
    """
    steps, counts = np.unique(np.diff(timestamps), return_counts=True)
    if not steps.size:
        return None
    typical: np.timedelta64 = steps[counts.argmax()]
    return typical


def other_spacing(timestamps: DatetimeArray, timeframe: str) -> np.timedelta64 | None:
    """Return the spacing of candles that are not those of a timeframe, or None where they may be.

    Candles are not the timeframe's if a quarter of them are closer together than it says, or next to none as
    close as it says. Breaks, nights and holes decide nothing.

    Parameters
    ----------
    timestamps : (n,) datetime64[us]
        Increasing.
    timeframe
        ``1h`` or ``1d``.
    """
    typical = typical_spacing(timestamps)
    ratio = np.diff(timestamps) / CANDLE_LENGTH[timeframe]
    if typical is None:
        return None
    if (ratio < 1 - _TOLERANCE).mean() > _MAY_BE_CLOSER:
        return typical
    there = (np.abs(ratio - 1) <= _TOLERANCE).mean()
    return typical if there < _MUST_BE_THERE and len(ratio) >= _ENOUGH else None


def continues(future: DatetimeArray, last: np.datetime64, spacing: np.timedelta64) -> bool:
    """Tell whether future timestamps are spaced as candles are, nights and breaks aside.

    Parameters
    ----------
    future : (n,) datetime64[us]
        Increasing, after `last`. A single one may stand behind a night, however far.
    """
    ratio = np.diff(np.concatenate([[last], future])) / spacing
    if (ratio < 1 - _TOLERANCE).any():
        return False
    return len(ratio) == 1 or bool((ratio <= 1 + _TOLERANCE).mean() >= _MAY_BE_CLOSER)


def timeframe_of(spacing: np.timedelta64) -> str | None:
    """Return the timeframe whose candles are so far apart, if there is one."""
    return next((name for name, length in CANDLE_LENGTH.items() if _alike(spacing, length)), None)


def contradiction(symbol: str, spacing: np.timedelta64, timeframe: str) -> str:
    """Return what is wrong with candles that are spaced otherwise than their timeframe says."""
    fitting = timeframe_of(spacing)
    meant = "" if fitting is None else f" (did you mean timeframe {fitting}?)"
    return f"candles of {symbol} are {words(spacing)} apart, timeframe is {timeframe}{meant}"


def words(spacing: np.timedelta64) -> str:
    """Return a spacing in words, such as ``15 minutes`` or ``1 hour``."""
    seconds = float(spacing / np.timedelta64(1, "s"))
    size, name = next(((size, name) for size, name in _UNITS if seconds % size == 0), _UNITS[-1])
    return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"


def _alike(spacing: np.timedelta64, length: np.timedelta64) -> bool:
    return bool(abs(spacing / length - 1) <= _TOLERANCE)
