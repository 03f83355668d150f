"""When an instrument's candles open and close, and which candles come next or came before.

One set of rules serves the selection of closed candles, event placing, leaders and future timestamps:

- A 1h candle is stamped with its open; a 1d candle with its session date at 00:00 UTC.
- ``24/7``: every hour; the day runs from 00:00 to 24:00 UTC.
- ``FX``: the week runs from Sunday 17:00 to Friday 17:00 New York and a day from 17:00 to 17:00 New York,
  stamped with the date on which it ends. December 25 and January 1 are closed.
- ``METAL``: as ``FX``, without the hour from 17:00 to 18:00 New York, in which spot metals pause
  (XAUUSD has a candle for 6 of 498 such hours on Wednesdays from 2012 to 2021, and EURUSD for all).
- ``XNYS`` or any other exchange_calendars name: the exchange's sessions. Hours are counted from the
  session's open, so the last one may be short; lunch breaks are not modelled.
- ``FX:XNYS``: days from 17:00 to 17:00 New York, on the dates of that exchange's sessions. Quotes of the
  dollar index and of commodity futures go on all day, and daily feeds follow New York's holidays: of 6,316
  daily candles of DXY since 2000 all but 29 are on XNYS dates, and 2 such dates lack one, where 135 dates of
  the CMES calendar and 206 weekdays do (GOLD 3 and 460 against 613, BRENT 1 and 124 against 232).
- A stored candle on a date without a session (VIX on July 4, 2024) still gets bounds: the New York day for
  ``FX`` and its kin, else the UTC day, which closes after any exchange does: nothing is known early.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from typing import Final
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
from numpy.typing import NDArray

from inference_server.instruments import Instrument

DatetimeArray = NDArray[np.datetime64]
BoolArray = NDArray[np.bool_]

TIMEFRAMES: Final = ("1h", "1d")

_HOUR: Final = np.timedelta64(3600, "s").astype("timedelta64[us]")
_FIRST_DAY: Final = date(1990, 1, 1)
_YEARS_AHEAD: Final = 3  # two years are promised, and a process may run for months on the table it made
_NEW_YORK: Final = ZoneInfo("America/New_York")
_FX_HOLIDAYS: Final = ((12, 25), (1, 1))


class TimeGridError(ValueError):
    """A timeframe, calendar or time span that the time grid cannot serve."""


@dataclass(frozen=True)
class _Calendar:
    """One row per calendar day from `first` on; `trading` tells the days that have a session."""

    first: np.datetime64  # datetime64[D]
    opens: DatetimeArray  # (days,)
    closes: DatetimeArray  # (days,)
    trading: BoolArray  # (days,)
    pause: BoolArray | None = None  # (days,) no hourly candle in the first hour of the day's session

    @cached_property
    def end(self) -> np.datetime64:
        return self.first + np.timedelta64(len(self.opens), "D")

    @cached_property
    def dates(self) -> DatetimeArray:
        """Session dates at 00:00, (sessions,)."""
        return (self.first + np.flatnonzero(self.trading)).astype("datetime64[us]")

    @cached_property
    def session_opens(self) -> DatetimeArray:
        return self.opens[self.trading]

    @cached_property
    def session_closes(self) -> DatetimeArray:
        return self.closes[self.trading]

    @cached_property
    def hours(self) -> DatetimeArray:
        """Open of every hourly candle."""
        counts = -((self.session_opens - self.session_closes) // _HOUR)
        starts = np.repeat(self.session_opens, counts)
        nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        if self.pause is not None:
            kept = (nth > 0) | ~np.repeat(self.pause[self.trading], counts)
            starts, nth = starts[kept], nth[kept]
        return np.asarray(starts + nth * _HOUR)


def candle_bounds(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray
) -> tuple[DatetimeArray, DatetimeArray]:
    """Return when candles open and close.

    Parameters
    ----------
    instrument, timeframe
        Whose candles, and ``1h`` or ``1d``.
    timestamps : (n,) datetime64
        As stored, UTC.

    Returns
    -------
    opens, closes : (n,) datetime64[us]
        UTC. The trading rules are in this module's docstring.

    Raises
    ------
    TimeGridError
        Unknown timeframe or calendar, or a time that the calendar doesn't cover.
    """
    calendar = _calendar_for(instrument, timeframe)
    stamps = np.asarray(timestamps, dtype="datetime64[us]")
    day = (stamps.astype("datetime64[D]") - calendar.first).astype(np.int64)
    if stamps.size and not (day.min() >= 0 and day.max() < len(calendar.opens)):
        raise TimeGridError(
            f"{instrument.symbol}: candles from {stamps.min()} to {stamps.max()} reach outside the calendar "
            f"{instrument.calendar!r}, which covers {calendar.first} to {calendar.end}"
        )
    if timeframe == "1d":
        return calendar.opens[day], calendar.closes[day]
    session = np.searchsorted(calendar.session_closes, stamps, side="right")
    session = np.minimum(session, len(calendar.session_closes) - 1)
    inside = (calendar.session_opens[session] <= stamps) & (stamps < calendar.session_closes[session])
    closes = stamps + _HOUR
    return stamps, np.where(inside, np.minimum(closes, calendar.session_closes[session]), closes)


def closed_by(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray, as_of: np.datetime64
) -> BoolArray:
    """Tell for each candle, (n,), whether it had closed at the instant `as_of` (UTC)."""
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


def _grid(instrument: Instrument, timeframe: str) -> DatetimeArray:
    calendar = _calendar_for(instrument, timeframe)
    return calendar.hours if timeframe == "1h" else calendar.dates


def _cut(instrument: Instrument, grid: DatetimeArray, start: int, count: int, asked: str) -> DatetimeArray:
    if start < 0 or start + count > len(grid):
        raise TimeGridError(
            f"{instrument.symbol}: {asked} reach outside the calendar {instrument.calendar!r}, "
            f"which covers {grid[0]} to {grid[-1]}"
        )
    return grid[start : start + count].copy()


def _calendar_for(instrument: Instrument, timeframe: str) -> _Calendar:
    if timeframe not in TIMEFRAMES:
        raise TimeGridError(f"unknown timeframe {timeframe!r}; expected one of {', '.join(TIMEFRAMES)}")
    try:
        return _calendar(instrument.calendar)
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise TimeGridError(
            f"{instrument.symbol}: unknown calendar {instrument.calendar!r}; expected 24/7, FX, METAL, an "
            "exchange_calendars name such as XNYS, or FX: and such a name"
        ) from error


@cache
def _calendar(name: str) -> _Calendar:
    if name == "24/7":
        midnights = _days().astype("datetime64[us]")
        everyday = np.ones(len(midnights), dtype=np.bool_)
        return _Calendar(_days()[0], midnights, midnights + 24 * _HOUR, everyday)
    if name in ("FX", "METAL"):
        return _new_york_days(_fx_weekdays(), pause=name == "METAL")
    if name.startswith("FX:"):
        exchange = _exchange(name.removeprefix("FX:"))
        trading = np.zeros(len(_days()), dtype=np.bool_)
        offset = int((exchange.first - _days()[0]).astype(np.int64))
        trading[offset : offset + len(exchange.trading)] = exchange.trading
        return _new_york_days(trading, pause=False)
    return _exchange(name)


@cache
def _days() -> DatetimeArray:
    """Every day that the calendars cover, datetime64[D]."""
    return _day_range(_FIRST_DAY, _last_day())


def _day_range(first: date, end: date) -> DatetimeArray:
    return np.arange(str(first), str(end), dtype="datetime64[D]")


@cache
def _last_day() -> date:
    return datetime.now(UTC).date() + timedelta(days=366 * _YEARS_AHEAD)


def _fx_weekdays() -> BoolArray:
    days = _days()
    trading = np.asarray(np.is_busday(days))
    for month, day in _FX_HOLIDAYS:
        years = range(_FIRST_DAY.year, _last_day().year + 1)
        trading &= ~np.isin(days, np.array([date(year, month, day) for year in years], dtype="datetime64[D]"))
    return trading


def _new_york_days(trading: BoolArray, *, pause: bool) -> _Calendar:
    """Days that end at 17:00 New York on their date and begin at the same hour a day before."""
    days = _days()
    eves = [_FIRST_DAY - timedelta(days=1), *days.tolist()]
    ends = [datetime.combine(day, time(17), _NEW_YORK).astimezone(UTC).replace(tzinfo=None) for day in eves]
    edges = np.array(ends, dtype="datetime64[us]")
    return _Calendar(days[0], edges[:-1], edges[1:], trading, trading if pause else None)


def _exchange(name: str) -> _Calendar:
    """Sessions of an exchange; days without one are there as UTC days that don't trade."""
    known = type(exchange_calendars.get_calendar(name))
    start, end = known.bound_min(), known.bound_max()
    first = _FIRST_DAY if start is None else max(_FIRST_DAY, start.date())
    last = _last_day() if end is None else min(_last_day(), end.date())
    source = exchange_calendars.get_calendar(name, start=str(first), end=str(last))
    days = _day_range(first, last)
    opens = days.astype("datetime64[us]")
    closes = opens + 24 * _HOUR
    session = (source.sessions.values.astype("datetime64[D]") - days[0]).astype(np.int64)
    inside = session < len(days)
    trading = np.zeros(len(days), dtype=np.bool_)
    trading[session[inside]] = True
    opens[session[inside]] = source.opens.values.astype("datetime64[us]")[inside]
    closes[session[inside]] = source.closes.values.astype("datetime64[us]")[inside]
    return _Calendar(days[0], opens, closes, trading)
