"""Builds the grids of a trading calendar: intraday candles within its sessions, days, and weeks."""

import re
from datetime import date, datetime, time
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from market.candle_grid import CandleGrid
from market.timeframes import CANDLE_LENGTH, INTRADAY
from market.times import instants
from market.trading_calendars import TradingCalendar
from market.types import DatetimeArray

_DAY: Final = CANDLE_LENGTH["1d"]
_WEEK: Final = CANDLE_LENGTH["1w"]
_MONDAY: Final = np.datetime64("1969-12-29", "D")
_ANCHOR: Final = re.compile(r"(\d\d:\d\d) (\S+)")


class AnchorError(ValueError):
    """A text is no time of day with a time zone."""


@cache
def calendar_grid(calendar: TradingCalendar, timeframe: str, anchor: str | None = None) -> CandleGrid:
    """Return the grid of a timeframe of `market.timeframes.TIMEFRAMES`.

    Parameters
    ----------
    anchor
        For intraday candles: a time of day and a time zone, such as ``00:00 UTC``, from which they are
        counted. None for the calendar's own, and where that has none each part of a session is counted from
        its open.

    Raises
    ------
    AnchorError
        The anchor is no time of day with a time zone.
    """
    if timeframe == "1d":
        return CandleGrid.of_stamps(calendar.dates, _DAY)
    if timeframe == "1w":
        return week_grid(calendar, 0)
    if timeframe not in INTRADAY:
        raise KeyError(timeframe)
    length, anchor = CANDLE_LENGTH[timeframe], anchor or calendar.anchor
    if anchor is None:
        return CandleGrid.of_runs(calendar.part_opens, calendar.part_closes, length)
    return _anchored(calendar, length, anchor)


@cache
def week_grid(calendar: TradingCalendar, weekday: int) -> CandleGrid:
    """Return the grid of weeks with a session, stamped with the date of a weekday (Monday 0) at 00:00."""
    first = _MONDAY + np.timedelta64(weekday, "D")
    weeks = np.unique((calendar.dates.astype("datetime64[D]") - first).astype(np.int64) // 7)
    stamps = (first + 7 * weeks).astype("datetime64[us]")
    # A week that began before the calendar does is not known whole.
    return CandleGrid.of_stamps(stamps[stamps >= calendar.first], _WEEK)


def phased_grid(
    calendar: TradingCalendar,
    length: np.timedelta64,
    phase: np.timedelta64,
    first: np.datetime64,
    last: np.datetime64,
) -> DatetimeArray:
    """Return the opens of intraday candles that are counted from another instant than the calendar's.

    The first candle of each part of a session is the one in which the part opens.

    Parameters
    ----------
    phase
        Distance of every open from a whole multiple of `length` since 1970, UTC.
    first, last
        Only parts that end after the first instant and begin by the last one.
    """
    wanted = (calendar.part_closes > first) & (calendar.part_opens <= last)
    opens = calendar.part_opens[wanted]
    starts = opens - (opens - np.datetime64(0, "us") - phase) % length
    grid = CandleGrid.of_runs(starts, calendar.part_closes[wanted], length)
    # Parts that follow one another without a pause share the candle at their border.
    return np.unique(CandleGrid.stamps(grid, 0, len(grid)))


def parse_anchor(text: str) -> tuple[time, ZoneInfo]:
    """Return the time of day and the zone of an anchor, such as ``17:00 America/New_York``.

    Raises
    ------
    AnchorError
        The text is no such anchor.
    """
    match = _ANCHOR.fullmatch(text)
    try:
        if match is not None:
            return time.fromisoformat(match[1]), ZoneInfo(match[2])
    except (ValueError, ZoneInfoNotFoundError, OSError):
        pass
    raise AnchorError(
        f"anchor {text!r} is no time of day with a time zone; expected one such as 00:00 UTC or "
        "17:00 America/New_York"
    )


def _anchored(calendar: TradingCalendar, length: np.timedelta64, anchor: str) -> CandleGrid:
    """Return candles that are counted from the anchor of every day, and end where trading does."""
    anchors = _anchor_instants(calendar, anchor)
    opens, closes = calendar.run_opens, calendar.run_closes
    run = np.searchsorted(opens, anchors, side="right") - 1
    inside = (run >= 0) & (anchors > opens[run]) & (anchors < closes[run])
    begins = np.concatenate([opens, anchors[inside]])
    ends = np.concatenate([closes, closes[run[inside]]])
    order = np.argsort(begins)
    begins, ends = begins[order], ends[order]
    ends[:-1] = np.minimum(ends[:-1], begins[1:])
    anchored = anchors[np.maximum(np.searchsorted(anchors, begins, side="right") - 1, 0)]
    starts = np.asarray(begins - (begins - anchored) % length, dtype="datetime64[us]")
    # Where the candle of that timestamp belongs to the part before already, the first one is short.
    taken = np.concatenate([[False], starts[1:] < ends[:-1]])
    seconds = np.minimum(starts[taken] + length, ends[taken])
    short = CandleGrid(begins[taken], np.ones(int(taken.sum()), dtype=np.int64), length, seconds)
    starts[taken] += length
    kept = starts < ends
    whole = CandleGrid.of_runs(starts[kept], ends[kept], length)
    return _merged(whole, short) if len(short) else whole


def _merged(one: CandleGrid, other: CandleGrid) -> CandleGrid:
    order = np.argsort(np.concatenate([one.starts, other.starts]))
    return CandleGrid(
        np.concatenate([one.starts, other.starts])[order],
        np.concatenate([one.counts, other.counts])[order],
        one.length,
        np.concatenate([one.ends, other.ends])[order],
    )


@cache
def _anchor_instants(calendar: TradingCalendar, anchor: str) -> DatetimeArray:
    """Return the anchor of every day from the one before the calendar's first, in UTC."""
    at, zone = parse_anchor(anchor)
    days = np.arange(calendar.first - 1, calendar.end + 1, dtype="datetime64[D]")
    if zone.key == "UTC":
        minutes = np.timedelta64(60 * at.hour + at.minute, "m")
        return np.asarray(days.astype("datetime64[us]") + minutes, dtype="datetime64[us]")
    dates: list[date] = days.tolist()
    return instants(datetime.combine(day, at, zone) for day in dates)
