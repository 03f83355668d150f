"""Computes when an instrument's candles open and close, and the timestamps of those before and after one.

The selection of closed candles, event placing, leaders and future timestamps share these rules:

- An intraday candle is stamped with its open; a 1d candle with its session date at 00:00 UTC; a 1w candle
  with the date of its Monday at 00:00 UTC. A week begins with the open of its first session and ends with the
  close of its last one.
- ``24/7``: around the clock; the day runs from 00:00 to 24:00 UTC, and 2h and 4h candles are counted from
  00:00.
- ``FX``: the week runs from Sunday 17:00 to Friday 17:00 New York and a day from 17:00 to 17:00 New York,
  stamped with the date on which it ends; 2h and 4h candles are counted from 17:00. December 25 and January 1
  are closed.
- ``METAL``: as ``FX``, without the hour from 17:00 to 18:00 New York, in which spot metals pause
  (XAUUSD has a candle for 6 of 498 such hours on Wednesdays from 2012 to 2021, and EURUSD for all). Longer
  candles are counted from 17:00 as well, so that the first one of a day is shorter than it seems.
- ``XNYS`` or any other exchange_calendars name: the exchange's sessions. Intraday candles are counted from
  the session's open and from the end of its lunch break (Shanghai: 9:30, 10:30, 13:00, 14:00), so the last
  one before a break or a close may be short, and no candle runs over a break or a night. After the last year
  whose holidays are published (the Chinese, Indian and Singaporean end with the year), every weekday is a
  session; see `published_until`.
- ``CMES``: sessions of futures from 17:00 Chicago on the day before to 16:00, with a pause of an hour between
  them; intraday candles are counted from 17:00. On holidays of XNYS on which futures trade they close at
  12:00, on half days of XNYS at 12:15, as equity futures do; those of metals and energy trade longer then.
- ``FX:XNYS``: days from 17:00 to 17:00 New York, on the dates of that exchange's sessions. Quotes of the
  dollar index and of commodity futures continue all day, and daily feeds follow New York's holidays: of 6,316
  daily candles of DXY since 2000 all but 29 are on XNYS dates, and 2 such dates lack one, where 135 dates of
  the CMES calendar and 206 weekdays do (GOLD 3 and 460 against 613, BRENT 1 and 124 against 232). There are
  no hours in the pause from 17:00 to 18:00 New York; on holidays of the exchange on which CME trades, such
  as Juneteenth, there are hours until 13:00.
- An instrument's `anchor` is another time of day from which its intraday candles are counted.
- A feed that stamps candles on the clock hour, in a pause or before the open has a grid of its own, which
  `market.feed_grid` derives from the candles.
- A stored candle on a date without a session (VIX on July 4, 2024) still has bounds: the New York day for
  ``FX``, ``METAL`` and ``FX:…``, else the UTC day. That ends after any exchange closes, so that no candle
  counts as known too early. For the same reason a weekly candle that is stamped with another day than Monday
  lasts for seven days, and an intraday candle off the grid lasts until its part of the session ends, or
  longer if the next part would begin within it.
"""

import numpy as np

from market.calendar_grids import AnchorError, calendar_grid
from market.candle_grid import CandleGrid
from market.instruments import Instrument
from market.timeframes import CANDLE_LENGTH, TIMEFRAMES
from market.trading_calendars import TradingCalendar, UnknownCalendar, trading_calendar
from market.types import BoolArray, DatetimeArray, Int64Array

__all__ = [
    "TimeGridError",
    "calendar_of",
    "candle_bounds",
    "closed_by",
    "future_timestamps",
    "instrument_grid",
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
        The instrument of the candles, and one of `market.timeframes.TIMEFRAMES`.
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
    if timeframe == "1w":
        return _week_bounds(calendar, day)
    holds, closes = instrument_grid(instrument, timeframe).closes(stamps)
    return stamps, np.where(holds, closes, _off_grid_closes(calendar, stamps, CANDLE_LENGTH[timeframe]))


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
    grid = instrument_grid(instrument, timeframe)
    start = int(grid.count_up_to(np.array([last]))[0])
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
    grid = instrument_grid(instrument, timeframe)
    start = int(grid.count_before(np.array([first]))[0]) - count
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


def instrument_grid(instrument: Instrument, timeframe: str) -> CandleGrid:
    """Return the grid of an instrument's candles.

    Raises
    ------
    TimeGridError
        Unknown timeframe, calendar or anchor.
    """
    try:
        return calendar_grid(calendar_of(instrument, timeframe), timeframe, instrument.anchor)
    except AnchorError as error:
        raise TimeGridError(f"{instrument.symbol}: {error}") from error


def _week_bounds(calendar: TradingCalendar, day: Int64Array) -> tuple[DatetimeArray, DatetimeArray]:
    """Return the open of the first session of the seven days from each day, and the close of the last one."""
    end = np.minimum(day + 6, len(calendar.opens) - 1)
    first, last = calendar.next_session[day], calendar.last_session[end]
    none = first > last
    return calendar.opens[np.where(none, day, first)], calendar.closes[np.where(none, end, last)]


def _off_grid_closes(
    calendar: TradingCalendar, stamps: DatetimeArray, length: np.timedelta64
) -> DatetimeArray:
    """Return when candles close whose timestamps are not on the calendar's grid: late rather than early."""
    run = np.minimum(np.searchsorted(calendar.run_closes, stamps, side="right"), len(calendar.run_closes) - 1)
    following = calendar.run_opens[np.minimum(run + 1, len(calendar.run_opens) - 1)]
    inside = (calendar.run_opens[run] <= stamps) & (stamps < calendar.run_closes[run])
    closes = stamps + length
    ends = inside & (closes <= following)
    return np.where(ends, np.minimum(closes, calendar.run_closes[run]), closes)


def _cut(instrument: Instrument, grid: CandleGrid, start: int, count: int, span: str) -> DatetimeArray:
    if start < 0 or start + count > len(grid):
        first, last = grid.stamps(0, 1)[0], grid.stamps(len(grid) - 1, len(grid))[0]
        raise TimeGridError(
            f"{instrument.symbol}: {span} reach outside the calendar {instrument.calendar!r}, "
            f"which covers {first} to {last}"
        )
    return grid.stamps(start, start + count)
