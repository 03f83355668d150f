"""The grid that a feed's candles really stand on: its calendar's, or another that is found in the candles.

Feeds differ from the calendar: they stamp on the clock hour where the session opens at half past, have hours
before the open, a candle in a pause, or none on Sunday evenings. What comes after such candles, and what is
missing among them, must be counted on their own grid, or a forecast overlaps its history and meets no candle.

- Hours are told apart by weekday and distance from the session's open, days by weekday.
- If the last candles are stamped at another minute than the calendar's, its hours are counted from that one.
- An hour that the calendar lacks belongs to the grid if three of the last four sessions (of that weekday, or
  of any where fewer than three are in the window) have it. An hour that the calendar has is left out if none
  of these has it and what remains is nearly full: a sparse feed keeps the calendar's hours.
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
_MINUTE_FROM: Final = 8  # candles at the end that tell at which minute a feed stamps
_SESSIONS: Final = 4
_FEWEST: Final = 3
_LOOKED_AT: Final = 40  # sessions or weeks before the last one: four of each weekday, and room for holidays
_FULL: Final = 0.9  # share of the remaining places that must be there before places are left out
_AHEAD: Final = 600  # sessions or weeks after the last candle: more than any horizon has


@dataclass(frozen=True)
class FeedGrid:
    """Where an instrument's candles stand, before, among and after those that are known.

    Attributes
    ----------
    stamps
        (n,) datetime64[us], increasing: every candle from the first known one on, or from before it.
    own
        Whether it differs from the calendar's.
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
        if self.timeframe == "1h":  # a candle off the grid may reach into the next one on it
            moment = candle_bounds(self.instrument, self.timeframe, moment)[1] - np.timedelta64(1, "us")
        start = int(np.searchsorted(self.stamps, moment[0], side="right"))
        found = self.stamps[start : start + count]
        if len(found) < count:
            raise TimeGridError(
                f"{self.instrument.symbol}: {count} candles after {last} reach outside the calendar "
                f"{self.instrument.calendar!r}, which covers {self.stamps[0]} to {self.stamps[-1]}"
            )
        return found.copy()

    def missing(self, timestamps: DatetimeArray) -> Int64Array:
        """Return how many candles are missing before each timestamp but the first, (n − 1,)."""
        # An off-grid candle counts as the place that it stands in.
        places = np.searchsorted(self.stamps, timestamps, side="right")
        return np.asarray(np.maximum(np.diff(places) - 1, 0))


def feed_grid(instrument: Instrument, timeframe: str, timestamps: DatetimeArray) -> FeedGrid:
    """Find the grid on which a feed's candles stand.

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
    if not stamps.size or _follow(base, stamps):
        return FeedGrid(instrument, timeframe, base, own=False)
    if timeframe == "1d":
        return FeedGrid(instrument, timeframe, *_of_days(calendar, stamps))
    phased = _at_the_minute(calendar, stamps)
    return FeedGrid(instrument, timeframe, *_of_hours(calendar, phased, stamps))


def _follow(base: DatetimeArray, stamps: DatetimeArray) -> bool:
    """Tell whether candles are a grid's, one after the other, without holes and others between."""
    start = int(np.searchsorted(base, stamps[0]))
    return bool(np.array_equal(base[start : start + len(stamps)], stamps))


def _at_the_minute(calendar: TradingCalendar, stamps: DatetimeArray) -> DatetimeArray | None:
    """Return the calendar's hours at the minute of the last candles, or None where they stand on its own."""
    recent = stamps[-_MINUTE_FROM:]
    if 2 * np.isin(recent, _within(calendar.hours, recent)).sum() >= len(recent):
        return None
    minutes, counts = np.unique(_ints(recent) % _HOUR_US, return_counts=True)
    if counts.max() < _FEWEST:
        return None
    return calendar.hours_at(np.timedelta64(int(minutes[counts.argmax()]), "us"))


def _of_hours(
    calendar: TradingCalendar, phased: DatetimeArray | None, stamps: DatetimeArray
) -> tuple[DatetimeArray, bool]:
    """Return the hours of a feed, and whether they differ from the calendar's."""
    base = calendar.hours if phased is None else phased
    opens, closes = _ints(calendar.session_opens), _ints(calendar.session_closes)
    edges = (
        closes[:-1] + (opens[1:] - closes[:-1]) // 2
    )  # where one session's candles end, the next one's begin
    first, last = np.searchsorted(edges, _ints(stamps[[0, -1]]), side="right")
    looked_from = max(int(first), int(last) - _LOOKED_AT)
    ahead = min(int(last) + _AHEAD, len(opens))

    def places(times: DatetimeArray) -> tuple[Int64Array, Int64Array]:
        rows = np.searchsorted(edges, _ints(times), side="right")
        offsets = _ints(times) - opens[rows]
        near = (offsets >= -_DAY_US // 2) & (offsets < _DAY_US)
        return rows[near], offsets[near]

    seen_rows, seen_offsets = places(stamps[_ints(stamps) >= opens[looked_from] - _DAY_US // 2])
    base_rows, base_offsets = places(_within(base, stamps[[0, -1]]))
    columns = np.unique(np.concatenate([seen_offsets, base_offsets]))
    shape = (int(last) - looked_from + 1, len(columns))
    seen = _table(shape, seen_rows - looked_from, np.searchsorted(columns, seen_offsets))
    there = _table(shape, base_rows - looked_from, np.searchsorted(columns, base_offsets))
    weekdays = (_ints(calendar.dates) // _DAY_US + 3) % 7
    added, removed = _changes(seen, there, weekdays[looked_from : int(last) + 1])
    if not added.any() and not removed.any():
        return base, phased is not None

    start = np.datetime64(int(opens[looked_from]), "us") - np.timedelta64(12, "h")
    end = np.datetime64(int(closes[ahead - 1]), "us")
    kept = base[np.searchsorted(base, start) : np.searchsorted(base, end)]
    rows = np.searchsorted(edges, _ints(kept), side="right")
    column = np.searchsorted(columns, _ints(kept) - opens[rows])
    known = np.isin(_ints(kept) - opens[rows], columns)
    kept = kept[~(known & removed[weekdays[rows], np.minimum(column, len(columns) - 1)])]
    session, offset = np.nonzero(added[weekdays[looked_from:ahead]])
    more = (opens[looked_from + session] + columns[offset]).view("datetime64[us]")
    return np.unique(np.concatenate([kept, more])), True


def _of_days(calendar: TradingCalendar, stamps: DatetimeArray) -> tuple[DatetimeArray, bool]:
    """Return the days of a feed, and whether they differ from the calendar's."""
    days = stamps.astype("datetime64[D]")
    last = int((days[-1] - _MONDAY).astype(np.int64)) // 7
    looked_from = max(int((days[0] - _MONDAY).astype(np.int64)) // 7, last - _LOOKED_AT)

    def table(dates: DatetimeArray) -> BoolArray:
        number = (dates.astype("datetime64[D]") - _MONDAY).astype(np.int64)
        number = number[(number // 7 >= looked_from) & (number // 7 <= last)]
        return _table((last - looked_from + 1, 7), number // 7 - looked_from, number % 7)

    seen, there = table(days), table(calendar.dates)
    added, removed = (part[0] for part in _changes(seen, there, np.zeros(len(seen), dtype=np.int64)))
    if not added.any() and not removed.any():
        return calendar.dates, False
    span = np.arange(max(_MONDAY + 7 * looked_from, calendar.first), calendar.end, dtype="datetime64[D]")
    weekday = (span - _MONDAY).astype(np.int64) % 7
    trading = calendar.trading[(span - calendar.first).astype(np.int64)]
    return span[(trading & ~removed[weekday]) | added[weekday]].astype("datetime64[us]"), True


def _changes(seen: BoolArray, there: BoolArray, kinds: Int64Array) -> tuple[BoolArray, BoolArray]:
    """Return which places a feed has besides the calendar's, and which of these it never has.

    Parameters
    ----------
    seen, there
        (rows, columns): which places of each session or week have a candle, and are the calendar's.
    kinds
        (rows,) below 7: rows of one kind are alike, as Mondays.

    Returns
    -------
    added, removed
        (7, columns) by kind.
    """
    # The first and the last row are parts of one; rows without candles are holidays or holes.
    whole = np.flatnonzero(seen.any(axis=1))
    whole = whole[(whole > 0) & (whole < len(seen) - 1)]
    # An empty one beside others with candles may be a habit, as of a feed that rests at the weekend.
    beside = np.convolve(seen.any(axis=1), np.ones(7))[3 : 3 + len(seen)] > 0
    added, removed = (np.zeros((7, seen.shape[1]), dtype=np.bool_) for _ in range(2))
    for kind in range(7):
        alike = np.flatnonzero((kinds == kind) & beside)
        alike = alike[(alike > 0) & (alike < len(seen) - 1)][-_SESSIONS:]
        if kinds.any() and len(alike) >= _FEWEST and not seen[alike].any():
            removed[kind] = there[alike].any(axis=0)
            continue
        rows = whole[kinds[whole] == kind][-_SESSIONS:]
        if len(rows) < _FEWEST:
            rows = whole[-_SESSIONS:]
        if len(rows) < _FEWEST:
            continue
        hits, expected = seen[rows].sum(axis=0), there[rows].sum(axis=0)
        added[kind] = (hits >= _FEWEST) & (expected == 0)
        removed[kind] = (hits == 0) & (expected >= _FEWEST)
    recent = whole[-7:]
    grid = (there[recent] & ~removed[kinds[recent]]) | added[kinds[recent]]
    if (seen[recent] & grid).sum() < _FULL * grid.sum():
        removed[:] = False
    return added, removed


def _table(shape: tuple[int, int], rows: Int64Array, columns: Int64Array) -> BoolArray:
    table = np.zeros(shape, dtype=np.bool_)
    inside = (rows >= 0) & (rows < shape[0])
    table[rows[inside], columns[inside]] = True
    return table


def _within(times: DatetimeArray, stamps: DatetimeArray) -> DatetimeArray:
    """Return those of `times`, which increase, from the first to the last stamp."""
    start = np.searchsorted(times, stamps[0])
    return times[start : np.searchsorted(times, stamps[-1], side="right")]


def _ints(times: DatetimeArray) -> Int64Array:
    """View datetime64[us] as microseconds: NumPy searches and compares integers several times faster."""
    return times.view(np.int64)
