"""Defines the timeframes of candles: their lengths, their tables, and the spellings that are accepted."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Literal, cast, get_args

import numpy as np

Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "2h", "4h", "1d", "1w"]
TIMEFRAMES: Final[tuple[str, ...]] = get_args(Timeframe)
"""From the shortest to the longest."""

CANDLE_DURATION: Final[Mapping[str, timedelta]] = {
    "1m": timedelta(minutes=1),
    "5m": timedelta(minutes=5),
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    "1h": timedelta(hours=1),
    "2h": timedelta(hours=2),
    "4h": timedelta(hours=4),
    "1d": timedelta(days=1),
    "1w": timedelta(weeks=1),
}
CANDLE_LENGTH: Final[Mapping[str, np.timedelta64]] = {
    timeframe: np.timedelta64(duration, "us") for timeframe, duration in CANDLE_DURATION.items()
}
CANDLE_TABLE: Final[Mapping[str, str]] = {timeframe: f"ohlcv_{timeframe}" for timeframe in TIMEFRAMES}
INTRADAY: Final = frozenset(name for name, length in CANDLE_DURATION.items() if length < timedelta(days=1))
"""Timeframes whose candles are stamped with their open; the longer ones are stamped with a date."""

_SPELLING: Final = re.compile(r"(\d{1,5})\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_UNITS: Final[Mapping[str, timedelta]] = {
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hr", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "wk", "week", "weeks"), timedelta(weeks=1)),
}
_OF_DURATION: Final = {duration: name for name, duration in CANDLE_DURATION.items()}


class UnknownTimeframe(ValueError):
    """A text is no timeframe that there is."""


def parse_timeframe(text: str) -> Timeframe:
    """Return the timeframe that a text names: ``60m``, ``1H`` and ``1 hour`` are ``1h``, ``5min`` is ``5m``.

    Raises
    ------
    UnknownTimeframe
        There is no such timeframe; the message lists those that there are. A capital M is refused, because
        it means a month elsewhere.
    """
    if text in TIMEFRAMES:
        return cast("Timeframe", text)
    match = _SPELLING.fullmatch(text.strip())
    if match is not None and match[2] == "M":
        raise UnknownTimeframe(
            f"timeframe {text!r} is a month elsewhere, and there are no monthly candles; expected one of "
            f"{', '.join(TIMEFRAMES)} ({match[1]}m for minutes)"
        )
    unit = None if match is None else _UNITS.get(match[2].lower())
    name = None if match is None or unit is None else _OF_DURATION.get(int(match[1]) * unit)
    if name is None:
        raise UnknownTimeframe(f"unknown timeframe {text[:40]!r}; expected one of {', '.join(TIMEFRAMES)}")
    return cast("Timeframe", name)


def normalised(value: Any) -> Any:
    """Return a text as the timeframe that it names; a value that is no text is unchanged.

    Raises
    ------
    UnknownTimeframe
        As `parse_timeframe`.
    """
    return parse_timeframe(value) if isinstance(value, str) else value
