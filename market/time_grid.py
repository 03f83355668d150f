"""Computes when an instrument's candles open and close, and the timestamps of those before and after one.

The selection of closed candles, event placing, leaders and future timestamps share these rules:

- A 1h candle is stamped with its open; a 1d candle with its session date at 00:00 UTC.
- ``24/7``: every hour; the day runs from 00:00 to 24:00 UTC.
- ``FX``: the week runs from Sunday 17:00 to Friday 17:00 New York and a day from 17:00 to 17:00 New York,
  stamped with the date on which it ends. December 25 and January 1 are closed.
- ``METAL``: as ``FX``, without the hour from 17:00 to 18:00 New York, in which spot metals pause
  (XAUUSD has a candle for 6 of 498 such hours on Wednesdays from 2012 to 2021, and EURUSD for all).
- ``XNYS`` or any other exchange_calendars name: the exchange's sessions. Hours are counted from the
  session's open and from the end of its lunch break (Shanghai: 9:30, 10:30, 13:00, 14:00), so the last one
  before a break or a close may be short. After the last year whose holidays are published (the Chinese,
  Indian and Singaporean end with the year), every weekday is a session; see `published_until`.
- ``FX:XNYS``: days from 17:00 to 17:00 New York, on the dates of that exchange's sessions. Quotes of the
  dollar index and of commodity futures continue all day, and daily feeds follow New York's holidays: of 6,316
  daily candles of DXY since 2000 all but 29 are on XNYS dates, and 2 such dates lack one, where 135 dates of
  the CMES calendar and 206 weekdays do (GOLD 3 and 460 against 613, BRENT 1 and 124 against 232). There are
  no hours in the pause from 17:00 to 18:00 New York; on holidays of the exchange on which CME trades, such
  as Juneteenth, there are hours until 13:00.
- A feed that stamps candles on the clock hour, in a pause or before the open has a grid of its own, which
  `market.feed_grid` derives from the candles.
- A stored candle on a date without a session (VIX on July 4, 2024) still has bounds: the New York day for
  ``FX``, ``METAL`` and ``FX:…``, else the UTC day. That ends after any exchange closes, so that no candle
  counts as known too early.
"""

import numpy as np

from market.instruments import Instrument
from market.timeframes import TIMEFRAMES
from market.trading_calendars import HOUR, TradingCalendar, UnknownCalendar, trading_calendar
from market.types import BoolArray, DatetimeArray

__all__ = [
    "TimeGridError",
    "calendar_of",
    "candle_bounds",
    "closed_by",
    "future_timestamps",
    "past_timestamps",
    "published_until",
]


class TimeGridError(ValueError):
    """A timeframe or calendar is unknown, or a calendar does not cover a time."""


def candle_bounds(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray
) -> tuple[DatetimeArray, DatetimeArray]:
    """Return when candles open and close.

    Parameters
    ----------
    instrument, timeframe
        The instrument of the candles, and ``1h`` or ``1d``.
    timestamps : (n,) datetime64
        As stored, UTC.

    Returns
    -------
    opens, closes : (n,) datetime64[us]
        UTC. The trading rules are in this module's docstring.

    Raises
    ------
    TimeGridError
        The timeframe or calendar is unknown, or the calendar does not cover a time.
    """
    calendar = calendar_of(instrument, timeframe)
    stamps = np.asarray(timestamps, dtype="datetime64[us]")
    day = (stamps.astype("datetime64[D]") - calendar.first).astype(np.int64)
    if stamps.size and not (day.min() >= 0 and day.max() < len(calendar.opens)):
        raise TimeGridError(
            f"{instrument.symbol}: candles from {stamps.min()} to {stamps.max()} reach outside the calendar "
            f"{instrument.calendar!r}, which covers {calendar.first} to {calendar.end}"
        )
    if timeframe == "1d":
        return calendar.opens[day], calendar.closes[day]
    part = np.searchsorted(calendar.part_closes, stamps, side="right")
    part = np.minimum(part, len(calendar.part_closes) - 1)
    inside = (calendar.part_opens[part] <= stamps) & (stamps < calendar.part_closes[part])
    closes = stamps + HOUR
    return stamps, np.where(inside, np.minimum(closes, calendar.part_closes[part]), closes)


def closed_by(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray, as_of: np.datetime64
) -> BoolArray:
    """Return for each candle, (n,), whether it had closed by the instant `as_of` (UTC)."""
    return np.asarray(candle_bounds(instrument, timeframe, timestamps)[1] <= as_of)


def future_timestamps(
    instrument: Instrument, timeframe: str, last: np.datetime64, count: int
) -> DatetimeArray:
    """Return the timestamps, (count,) datetime64[us], of the candles that follow the one stamped `last`.

    Raises
    ------
    TimeGridError
        Unknown timeframe or calendar, or the calendar ends before `count` candles.
    """
    grid = _grid(instrument, timeframe)
    start = int(np.searchsorted(grid, np.array(last, dtype="datetime64[us]"), side="right"))
    return _cut(instrument, grid, start, count, f"{count} candles after {last}")


def past_timestamps(
    instrument: Instrument, timeframe: str, first: np.datetime64, count: int
) -> DatetimeArray:
    """Return the timestamps, (count,) datetime64[us], of the candles before the one stamped `first`.

    Raises
    ------
    TimeGridError
        Unknown timeframe or calendar, or the calendar begins later than that.
    """
    grid = _grid(instrument, timeframe)
    start = int(np.searchsorted(grid, np.array(first, dtype="datetime64[us]"), side="left")) - count
    return _cut(instrument, grid, start, count, f"{count} candles before {first}")


def published_until(instrument: Instrument) -> np.datetime64 | None:
    """Return the last day, datetime64[D], for which holidays are published; None where they follow rules.

    Raises
    ------
    TimeGridError
        Unknown calendar.
    """
    return calendar_of(instrument, "1d").published


def calendar_of(instrument: Instrument, timeframe: str) -> TradingCalendar:
    """Return an instrument's trading calendar.

    Raises
    ------
    TimeGridError
        Unknown timeframe or calendar.
    """
    if timeframe not in TIMEFRAMES:
        raise TimeGridError(f"unknown timeframe {timeframe!r}; expected one of {', '.join(TIMEFRAMES)}")
    try:
        return trading_calendar(instrument.calendar)
    except UnknownCalendar as error:
        raise TimeGridError(
            f"{instrument.symbol}: unknown calendar {instrument.calendar!r}; expected 24/7, FX, METAL, an "
            "exchange_calendars name such as XNYS, or FX: and such a name"
        ) from error


def _grid(instrument: Instrument, timeframe: str) -> DatetimeArray:
    calendar = calendar_of(instrument, timeframe)
    return calendar.hours if timeframe == "1h" else calendar.dates


def _cut(instrument: Instrument, grid: DatetimeArray, start: int, count: int, span: str) -> DatetimeArray:
    if start < 0 or start + count > len(grid):
        raise TimeGridError(
            f"{instrument.symbol}: {span} reach outside the calendar {instrument.calendar!r}, "
            f"which covers {grid[0]} to {grid[-1]}"
        )
    return grid[start : start + count].copy()
