"""Measures how far apart candles are, and whether they can be candles of their timeframe."""

from typing import Final

import numpy as np

from market.timeframes import CANDLE_LENGTH
from market.types import DatetimeArray

_TOLERANCE: Final = 0.1  # a day is 23 hours long when the clocks go forward
_MOST_CLOSER: Final = (
    0.25  # share of steps; where hours restart at an open, the one before lasts half an hour
)
_FEWEST_FITTING: Final = 0.05  # share of steps; a session of two hours has a half, a sparse feed a few
_FEWEST_STEPS: Final = 5  # below, steps that are too long prove nothing: they may be weekends
_APART: Final = {"2h": (0.6, 1.9), "4h": (0.6, 1.9)}
"""Shares of their length that candles may be apart beside lunch breaks; other timeframes have nearly one."""
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

    Candles are not the timeframe's if more than a quarter of the steps are shorter than its candles, or fewer
    than one in twenty as long. Other steps may be longer: breaks, nights and holes.

    Parameters
    ----------
    timestamps : (n,) datetime64[us]
        Increasing.
    timeframe
        One of `market.timeframes.TIMEFRAMES`.
    """
    typical = typical_spacing(timestamps)
    ratio = np.diff(timestamps) / CANDLE_LENGTH[timeframe]
    if typical is None:
        return None
    shortest, longest = _APART.get(timeframe, (1 - _TOLERANCE, 1 + _TOLERANCE))
    if (ratio < shortest).mean() > _MOST_CLOSER:
        return typical
    fitting = ((ratio >= shortest) & (ratio <= longest)).mean()
    return typical if fitting < _FEWEST_FITTING and len(ratio) >= _FEWEST_STEPS else None


def continues(future: DatetimeArray, last: np.datetime64, spacing: np.timedelta64) -> bool:
    """Return whether future timestamps are spaced as candles are, except for nights and breaks.

    Parameters
    ----------
    future : (n,) datetime64[us]
        Increasing, after `last`. A single one may follow after a night of any length.
    """
    ratio = np.diff(np.concatenate([[last], future])) / spacing
    if (ratio < 1 - _TOLERANCE).any():
        return False
    return len(ratio) == 1 or bool((ratio <= 1 + _TOLERANCE).mean() >= _MOST_CLOSER)


def timeframe_of(spacing: np.timedelta64) -> str | None:
    """Return the timeframe whose candles are this far apart, if there is one."""
    return next((name for name, length in CANDLE_LENGTH.items() if _alike(spacing, length)), None)


def contradiction(symbol: str, spacing: np.timedelta64, timeframe: str) -> str:
    """Return a message for candles whose spacing is not that of their timeframe."""
    fitting = timeframe_of(spacing)
    hint = "" if fitting is None else f" (did you mean timeframe {fitting}?)"
    return f"candles of {symbol} are {spacing_text(spacing)} apart, timeframe is {timeframe}{hint}"


def spacing_text(spacing: np.timedelta64) -> str:
    """Return a spacing as text, such as ``15 minutes`` or ``1 hour``."""
    seconds = float(spacing / np.timedelta64(1, "s"))
    size, name = next(((size, name) for size, name in _UNITS if seconds % size == 0), _UNITS[-1])
    return f"{seconds / size:g} {name}{'' if seconds == size else 's'}"


def _alike(spacing: np.timedelta64, length: np.timedelta64) -> bool:
    return bool(abs(spacing / length - 1) <= _TOLERANCE)
