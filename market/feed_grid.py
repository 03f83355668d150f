"""Derives the grid of a feed's candles: that of the calendar, or another one where the candles differ.

Feeds differ from the calendar: they stamp candles on the clock hour where the session opens at half past,
have hours before the open, a candle in a pause, or none on Sunday evenings. Future timestamps and missing
candles must follow the feed's own grid; otherwise a forecast would overlap its history, and match no later
candle.

- An hour is identified by its weekday and its distance from the session's open, a day by its weekday.
- If the last candles are stamped at another minute than the calendar's, its hours are moved to that minute.
- An hour that the calendar lacks belongs to the grid if three of the last four sessions (of that weekday, or
  of any where fewer than three are in the window) have it. An hour of the calendar is removed if none of
  these sessions has it and the remaining hours are nearly complete: a sparse feed keeps the calendar's hours.
- Days likewise, by weeks.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.instruments import Instrument
from market.time_grid import TimeGridError, calendar_of, candle_bounds
from market.trading_calendars import TradingCalendar
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


@dataclass(frozen=True)
class FeedGrid:
    """The timestamps of an instrument's candles, before, among and after those that are known.

    Attributes
    ----------
    stamps
        (n,) datetime64[us], increasing: every candle from the first known one on, or from before it.
    own
        Whether the grid differs from the calendar's.
    """

    instrument: Instrument
    timeframe: str
    stamps: DatetimeArray
    own: bool

    def after(self, last: np.datetime64, count: int) -> DatetimeArray:
        """Return the timestamps, (count,), of the candles that open once the one stamped `last` has closed.

        Raises
        ------
        TimeGridError
            The calendar ends before `count` candles.
        """
        moment = np.array([last], dtype="datetime64[us]")
        if self.timeframe == "1h":  # a candle off the grid may overlap the next one on it
            moment = candle_bounds(self.instrument, self.timeframe, moment)[1] - np.timedelta64(1, "us")
        start = int(np.searchsorted(self.stamps, moment[0], side="right"))
        stamps = self.stamps[start : start + count]
        if len(stamps) < count:
            raise TimeGridError(
                f"{self.instrument.symbol}: {count} candles after {last} reach outside the calendar "
                f"{self.instrument.calendar!r}, which covers {self.stamps[0]} to {self.stamps[-1]}"
            )
        return stamps.copy()

    def missing(self, timestamps: DatetimeArray) -> Int64Array:
        """Return how many candles are missing before each timestamp but the first, (n − 1,)."""
        # A candle off the grid counts as the candle of the grid before it.
        positions = np.searchsorted(self.stamps, timestamps, side="right")
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
    base = calendar.hours if timeframe == "1h" else calendar.dates
    if not stamps.size or _is_consecutive(base, stamps):
        return FeedGrid(instrument, timeframe, base, own=False)
    if timeframe == "1d":
        return FeedGrid(instrument, timeframe, *_days_of_feed(calendar, stamps))
    phased = _at_minute_of_feed(calendar, stamps)
    return FeedGrid(instrument, timeframe, *_hours_of_feed(calendar, phased, stamps))


def _is_consecutive(base: DatetimeArray, stamps: DatetimeArray) -> bool:
    """Return whether candles are consecutive candles of a grid."""
    start = int(np.searchsorted(base, stamps[0]))
    return bool(np.array_equal(base[start : start + len(stamps)], stamps))


def _at_minute_of_feed(calendar: TradingCalendar, stamps: DatetimeArray) -> DatetimeArray | None:
    """Return the calendar's hours moved to the minute of the last candles, or None where it is the same."""
    recent = stamps[-_MINUTE_FROM:]
    if 2 * np.isin(recent, _within(calendar.hours, recent)).sum() >= len(recent):
        return None
    minutes, counts = np.unique(_ints(recent) % _HOUR_US, return_counts=True)
    if counts.max() < _FEWEST:
        return None
    return calendar.hours_at(np.timedelta64(int(minutes[counts.argmax()]), "us"))


def _hours_of_feed(
    calendar: TradingCalendar, phased: DatetimeArray | None, stamps: DatetimeArray
) -> tuple[DatetimeArray, bool]:
    """Return the hours of a feed, and whether they differ from the calendar's.

    Parameters
    ----------
    phased
        The calendar's hours moved to the minute of the feed; None where it is the same.
    """
    base = calendar.hours if phased is None else phased
    opens, closes = _ints(calendar.session_opens), _ints(calendar.session_closes)
    # Candles belong to the session on whose side of the middle between two sessions they are.
    edges = closes[:-1] + (opens[1:] - closes[:-1]) // 2
    first, last = np.searchsorted(edges, _ints(stamps[[0, -1]]), side="right")
    first_session = max(int(first), int(last) - _EXAMINED)
    ahead = min(int(last) + _AHEAD, len(opens))

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
        return base, phased is not None

    start = np.datetime64(int(opens[first_session]), "us") - np.timedelta64(12, "h")
    end = np.datetime64(int(closes[ahead - 1]), "us")
    hours = base[np.searchsorted(base, start) : np.searchsorted(base, end)]
    rows = np.searchsorted(edges, _ints(hours), side="right")
    offsets = _ints(hours) - opens[rows]
    column = np.minimum(np.searchsorted(columns, offsets), len(columns) - 1)
    is_removed = np.isin(offsets, columns) & removed[weekdays[rows], column]
    session, offset = np.nonzero(added[weekdays[first_session:ahead]])
    added_hours = (opens[first_session + session] + columns[offset]).view("datetime64[us]")
    return np.unique(np.concatenate([hours[~is_removed], added_hours])), True


def _days_of_feed(calendar: TradingCalendar, stamps: DatetimeArray) -> tuple[DatetimeArray, bool]:
    """Return the days of a feed, and whether they differ from the calendar's."""
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
        return calendar.dates, False
    span = np.arange(max(_MONDAY + 7 * first_week, calendar.first), calendar.end, dtype="datetime64[D]")
    weekday = (span - _MONDAY).astype(np.int64) % 7
    trading = calendar.trading[(span - calendar.first).astype(np.int64)]
    return span[(trading & ~removed[weekday]) | added[weekday]].astype("datetime64[us]"), True


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
