"""Derives the grid of a feed's candles: that of the calendar, or another one where the candles differ.

Feeds differ from the calendar: they stamp candles on the clock hour where the session opens at half past,
have hours before the open, a candle in a pause, or none on Sunday evenings. Future timestamps and missing
candles must follow the feed's own grid; otherwise a forecast would overlap its history, and match no later
candle.

- An hour, or another intraday candle, is identified by its weekday and its distance from the session's open,
  a day by its weekday.
- If the last candles are stamped at another minute than the calendar's, its hours are moved to that minute,
  and weeks to the weekday of the stamps.
- An hour that the calendar lacks belongs to the grid if three of the last four sessions (of that weekday, or
  of any where fewer than three are in the window) have it. An hour of the calendar is removed if none of
  these sessions has it and the remaining hours are nearly complete: a sparse feed keeps the calendar's hours.
- Days likewise, by weeks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.calendar_grids import phased_grid, week_grid
from market.candle_grid import CandleGrid
from market.instruments import Instrument
from market.time_grid import TimeGridError, calendar_of, candle_bounds, instrument_grid
from market.timeframes import INTRADAY
from market.trading_calendars import HOUR, TradingCalendar
from market.types import BoolArray, DatetimeArray, Int64Array

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_MONDAY: Final = np.datetime64("1969-12-29", "D")
_MINUTE_FROM: Final = 8  # last candles, from which the minute of the stamps is taken
_SESSIONS: Final = 4
_FEWEST: Final = 3
_EXAMINED: Final = 40  # sessions or weeks before the last one: four of each weekday, with room for holidays
_COMPLETE: Final = 0.9  # share of the remaining slots that must have candles before slots are removed
_AHEAD: Final = 600  # sessions or weeks after the last candle: more than any horizon has
_AHEAD_SHORT: Final = 60  # sessions, of candles shorter than an hour


@dataclass(frozen=True)
class FeedGrid:
    """The timestamps of an instrument's candles, before, among and after those that are known.

    Attributes
    ----------
    grid
        Every candle from the first known one on, or from before it.
    own
        Whether the grid differs from the calendar's.
    """

    instrument: Instrument
    timeframe: str
    grid: CandleGrid
    own: bool

    def after(self, last: np.datetime64, count: int) -> DatetimeArray:
        """Return the timestamps, (count,), of the candles that open once the one stamped `last` has closed.

        Raises
        ------
        TimeGridError
            The calendar ends before `count` candles.
        """
        moment = np.array([last], dtype="datetime64[us]")
        if self.timeframe in INTRADAY:  # a candle off the grid may overlap the next one on it
            moment = candle_bounds(self.instrument, self.timeframe, moment)[1] - np.timedelta64(1, "us")
        start = int(self.grid.count_up_to(moment)[0])
        stamps = self.grid.stamps(start, start + count)
        if len(stamps) < count:
            end = self.grid.stamps(len(self.grid) - 1, len(self.grid))[0]
            raise TimeGridError(
                f"{self.instrument.symbol}: {count} candles after {last} reach outside the calendar "
                f"{self.instrument.calendar!r}, which ends at {end}"
            )
        return stamps

    def between(self, first: np.datetime64, last: np.datetime64) -> DatetimeArray:
        """Return the timestamps of the candles after the one stamped `first`, up to `last`."""
        start, stop = self.grid.count_up_to(np.array([first, last], dtype="datetime64[us]")).tolist()
        return self.grid.stamps(start, stop)

    def missing(self, timestamps: DatetimeArray) -> Int64Array:
        """Return how many candles are missing before each timestamp but the first, (n − 1,)."""
        # A candle off the grid counts as the candle of the grid before it.
        positions = self.grid.count_up_to(timestamps)
        return np.asarray(np.maximum(np.diff(positions) - 1, 0))


def feed_grid(instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> FeedGrid:
    """Return the grid of a feed's candles.

    Parameters
    ----------
    timestamps : (n,) datetime64
        Of the known candles, UTC, increasing.

    Raises
    ------
    TimeGridError
        Unknown timeframe or calendar.
    """
    calendar = calendar_of(instrument, timeframe)
    stamps = np.asarray(timestamps, dtype="datetime64[us]")
    base = instrument_grid(instrument, timeframe)
    if not stamps.size or _is_consecutive(base, stamps):
        return FeedGrid(instrument, timeframe, base, own=False)
    if timeframe == "1w":
        return FeedGrid(instrument, timeframe, *_weeks_of_feed(calendar, base, stamps))
    own = _days_of_feed(calendar, stamps) if timeframe == "1d" else _intraday_of_feed(calendar, base, stamps)
    if own is None:
        return FeedGrid(instrument, timeframe, base, own=False)
    return FeedGrid(instrument, timeframe, CandleGrid.of_stamps(own, base.length), own=True)


def _is_consecutive(base: CandleGrid, stamps: DatetimeArray) -> bool:
    """Return whether candles are consecutive candles of a grid."""
    start = int(base.count_before(stamps[:1])[0])
    return bool(np.array_equal(base.stamps(start, start + len(stamps)), stamps))


def _weeks_of_feed(
    calendar: TradingCalendar, base: CandleGrid, stamps: DatetimeArray
) -> tuple[CandleGrid, bool]:
    """Return the weeks of a feed, which may be stamped with another day than Monday."""
    recent = stamps[-_MINUTE_FROM:].astype("datetime64[D]")
    weekdays, counts = np.unique((recent - _MONDAY).astype(np.int64) % 7, return_counts=True)
    weekday = int(weekdays[counts.argmax()])
    if weekday == 0 or counts.max() < _FEWEST:
        return base, False
    return week_grid(calendar, weekday), True


def _phase_of_feed(base: CandleGrid, stamps: DatetimeArray) -> np.timedelta64 | None:
    """Return the distance of the last candles from whole multiples of their length; None where the calendar's
    grid has most of them."""
    recent = stamps[-_MINUTE_FROM:]
    if 2 * base.closes(recent)[0].sum() >= len(recent):
        return None
    phases, counts = np.unique(_ints(recent) % base.length.astype(np.int64), return_counts=True)
    return np.timedelta64(int(phases[counts.argmax()]), "us") if counts.max() >= _FEWEST else None


def _intraday_of_feed(
    calendar: TradingCalendar, grid: CandleGrid, stamps: DatetimeArray
) -> DatetimeArray | None:
    """Return the intraday candles of a feed; None where they are the calendar's.

    Parameters
    ----------
    grid
        The calendar's candles.
    """
    phase = _phase_of_feed(grid, stamps)
    until = _until(calendar, grid.length, stamps[-1])
    before = stamps[0] - np.timedelta64(2, "D")
    base = (
        grid.between(before, until)
        if phase is None
        else phased_grid(calendar, grid.length, phase, before, until)
    )
    opens, closes = _ints(calendar.session_opens), _ints(calendar.session_closes)
    # Candles belong to the session on whose side of the middle between two sessions they are.
    edges = closes[:-1] + (opens[1:] - closes[:-1]) // 2
    first, last = np.searchsorted(edges, _ints(stamps[[0, -1]]), side="right")
    first_session = max(int(first), int(last) - _EXAMINED)
    ahead = min(int(last) + _sessions_ahead(grid.length), len(opens))

    def sessions_and_offsets(times: DatetimeArray) -> tuple[Int64Array, Int64Array]:
        rows = np.searchsorted(edges, _ints(times), side="right")
        offsets = _ints(times) - opens[rows]
        near = (offsets >= -_DAY_US // 2) & (offsets < _DAY_US)
        return rows[near], offsets[near]

    seen_rows, seen_offsets = sessions_and_offsets(
        stamps[_ints(stamps) >= opens[first_session] - _DAY_US // 2]
    )
    base_rows, base_offsets = sessions_and_offsets(_within(base, stamps[[0, -1]]))
    columns = np.unique(np.concatenate([seen_offsets, base_offsets]))
    shape = (int(last) - first_session + 1, len(columns))
    seen = _table(shape, seen_rows - first_session, np.searchsorted(columns, seen_offsets))
    expected = _table(shape, base_rows - first_session, np.searchsorted(columns, base_offsets))
    weekdays = (_ints(calendar.dates) // _DAY_US + 3) % 7
    added, removed = _changes(seen, expected, weekdays[first_session : int(last) + 1])
    if not added.any() and not removed.any():
        return None if phase is None else base

    start = np.datetime64(int(opens[first_session]), "us") - np.timedelta64(12, "h")
    end = np.datetime64(int(closes[ahead - 1]), "us")
    hours = base[np.searchsorted(base, start) : np.searchsorted(base, end)]
    rows = np.searchsorted(edges, _ints(hours), side="right")
    offsets = _ints(hours) - opens[rows]
    column = np.minimum(np.searchsorted(columns, offsets), len(columns) - 1)
    is_removed = np.isin(offsets, columns) & removed[weekdays[rows], column]
    session, offset = np.nonzero(added[weekdays[first_session:ahead]])
    added_hours = (opens[first_session + session] + columns[offset]).view("datetime64[us]")
    return np.unique(np.concatenate([hours[~is_removed], added_hours]))


def _sessions_ahead(length: np.timedelta64) -> int:
    return _AHEAD if length >= HOUR else _AHEAD_SHORT


def _until(calendar: TradingCalendar, length: np.timedelta64, last: np.datetime64) -> np.datetime64:
    """Return the instant up to which the candles of a feed's own grid are computed."""
    session = int(np.searchsorted(calendar.session_opens, last))
    end: np.datetime64 = calendar.session_closes[
        min(session + _sessions_ahead(length) + 1, len(calendar.session_closes) - 1)
    ]
    return end


def _days_of_feed(calendar: TradingCalendar, stamps: DatetimeArray) -> DatetimeArray | None:
    """Return the days of a feed; None where they are the calendar's."""
    days = stamps.astype("datetime64[D]")
    last_week = int((days[-1] - _MONDAY).astype(np.int64)) // 7
    first_week = max(int((days[0] - _MONDAY).astype(np.int64)) // 7, last_week - _EXAMINED)

    def table(dates: DatetimeArray) -> BoolArray:
        number = (dates.astype("datetime64[D]") - _MONDAY).astype(np.int64)
        number = number[(number // 7 >= first_week) & (number // 7 <= last_week)]
        return _table((last_week - first_week + 1, 7), number // 7 - first_week, number % 7)

    seen, expected = table(days), table(calendar.dates)
    added, removed = (part[0] for part in _changes(seen, expected, np.zeros(len(seen), dtype=np.int64)))
    if not added.any() and not removed.any():
        return None
    span = np.arange(max(_MONDAY + 7 * first_week, calendar.first), calendar.end, dtype="datetime64[D]")
    weekday = (span - _MONDAY).astype(np.int64) % 7
    trading = calendar.trading[(span - calendar.first).astype(np.int64)]
    return np.asarray(span[(trading & ~removed[weekday]) | added[weekday]].astype("datetime64[us]"))


def _changes(seen: BoolArray, expected: BoolArray, kinds: Int64Array) -> tuple[BoolArray, BoolArray]:
    """Return the slots that a feed has beyond the calendar's, and those of the calendar that it lacks.

    Parameters
    ----------
    seen, expected
        (rows, columns): the slots of each session or week in which the feed has a candle, and the calendar.
    kinds
        (rows,) below 7: rows of the same kind have the same slots, as all Mondays do.

    Returns
    -------
    added, removed
        (7, columns) by kind.
    """
    # The first and the last row may be incomplete; rows without candles are holidays or holes.
    complete = np.flatnonzero(seen.any(axis=1))
    complete = complete[(complete > 0) & (complete < len(seen) - 1)]
    # An empty row near rows with candles may be regular, as in a feed without weekends.
    near_candles = np.convolve(seen.any(axis=1), np.ones(7))[3 : 3 + len(seen)] > 0
    added, removed = (np.zeros((7, seen.shape[1]), dtype=np.bool_) for _ in range(2))
    for kind in range(7):
        same_kind = np.flatnonzero((kinds == kind) & near_candles)
        same_kind = same_kind[(same_kind > 0) & (same_kind < len(seen) - 1)][-_SESSIONS:]
        if kinds.any() and len(same_kind) >= _FEWEST and not seen[same_kind].any():
            removed[kind] = expected[same_kind].any(axis=0)
            continue
        rows = complete[kinds[complete] == kind][-_SESSIONS:]
        if len(rows) < _FEWEST:
            rows = complete[-_SESSIONS:]
        if len(rows) < _FEWEST:
            continue
        seen_count, expected_count = seen[rows].sum(axis=0), expected[rows].sum(axis=0)
        added[kind] = (seen_count >= _FEWEST) & (expected_count == 0)
        removed[kind] = (seen_count == 0) & (expected_count >= _FEWEST)
    recent = complete[-7:]
    grid = (expected[recent] & ~removed[kinds[recent]]) | added[kinds[recent]]
    if (seen[recent] & grid).sum() < _COMPLETE * grid.sum():
        removed[:] = False
    return added, removed


def _table(shape: tuple[int, int], rows: Int64Array, columns: Int64Array) -> BoolArray:
    """Return a table that is true in the given cells, except for rows outside it."""
    table = np.zeros(shape, dtype=np.bool_)
    inside = (rows >= 0) & (rows < shape[0])
    table[rows[inside], columns[inside]] = True
    return table


def _within(times: DatetimeArray, stamps: DatetimeArray) -> DatetimeArray:
    """Return the part of increasing `times` from the first to the last stamp."""
    start = np.searchsorted(times, stamps[0])
    return times[start : np.searchsorted(times, stamps[-1], side="right")]


def _ints(times: DatetimeArray) -> Int64Array:
    """View datetime64[us] as integers, which NumPy searches and compares several times faster."""
    return times.view(np.int64)
