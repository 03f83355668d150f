"""The candles of an event array as intervals of time, and the row on which an instant falls.

- A release belongs to the first candle that closes after it. So one before the open of a session falls on
  the session's first candle; one after the close, on a weekend or on a holiday on the next candle there is;
  one at the very instant of a close on the candle after it.
- A release more than two weeks before a candle's open belongs to no candle: no market closes for that long,
  so candles are missing, and the release was not news on the candle after the gap.
- The candle before the first row, taken from the time grid, decides which releases still belong to that row.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from flows.events.config import EventError
from flows.events.request import EventRequest
from market.instruments import Instrument
from market.time_grid import candle_bounds, future_timestamps, past_timestamps
from market.types import DatetimeArray, Int64Array

_LONGEST_BREAK_US: Final = 14 * 86_400_000_000


@dataclass(frozen=True)
class EventWindow:
    """The candles of one event array, preceded by the candle before them.

    Attributes
    ----------
    instrument, timeframe
        Whose calendar the candles follow.
    stamps, opens, closes : (1 + rows,) datetime64[us]
        Timestamps as stored, and each candle's open and close; index 0 is the candle before the first row.
    history : int
        Rows whose candles have closed; the others are the prediction window.
    """

    instrument: Instrument
    timeframe: str
    stamps: DatetimeArray
    opens: DatetimeArray
    closes: DatetimeArray
    history: int

    @property
    def rows(self) -> int:
        """Number of rows of the array."""
        return len(self.opens) - 1

    @property
    def now(self) -> np.datetime64:
        """Point in time: the close of the last candle used."""
        moment: np.datetime64 = self.closes[self.history]
        return moment

    @cached_property
    def since(self) -> Int64Array:
        """Start of the time whose releases belong to each row, (rows,) microseconds since 1970.

        The close of the candle before, but at most two weeks before the row's open.
        """
        return np.maximum(as_ticks(self.closes)[:-1], as_ticks(self.opens)[1:] - _LONGEST_BREAK_US)

    def row_of(self, times: DatetimeArray) -> Int64Array:
        """Return the row of each instant, (n,); −1 or `rows` where it belongs to none of them."""
        ticks = as_ticks(times)
        rows = as_ticks(self.closes).searchsorted(ticks, side="right") - 1
        rows[ticks < self.since[rows.clip(0, self.rows - 1)]] = -1
        return rows

    def next_close(self) -> np.datetime64:
        """Return the close of the first candle after the history."""
        if self.history < self.rows:
            close: np.datetime64 = self.closes[self.history + 1]
        else:
            following = future_timestamps(self.instrument, self.timeframe, self.stamps[-1], 1)
            close = candle_bounds(self.instrument, self.timeframe, following)[1][0]
        return close


class Reach(NamedTuple):
    """First instant of some windows, their latest point in time, and the last instant they predict."""

    first: np.datetime64
    now: np.datetime64
    last: np.datetime64

    @classmethod
    def of(cls, windows: Iterable[EventWindow]) -> "Reach":
        """Return the reach of some windows, at least one."""
        firsts, nows, lasts = zip(
            *((each.opens[1], each.now, each.closes[-1]) for each in windows), strict=True
        )
        return cls(min(firsts), max(nows), max(lasts))

    def union(self, other: "Reach") -> "Reach":
        """Return the reach of the windows of both."""
        return Reach(min(self.first, other.first), max(self.now, other.now), max(self.last, other.last))


def event_window(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray, future: DatetimeArray
) -> EventWindow:
    """Return the window of candles stamped `timestamps` (T,), then `future` (pred_len,), possibly empty.

    Raises
    ------
    EventError
        No candle, or timestamps that don't increase.
    TimeGridError
        See `market.time_grid`.
    """
    if not len(timestamps):
        raise EventError("no candles; expected at least one timestamp")
    before = past_timestamps(instrument, timeframe, timestamps[0], 1)
    stamps = np.concatenate([before, timestamps, future]).astype("datetime64[us]")
    back = np.flatnonzero(stamps[1:] <= stamps[:-1])
    if back.size:
        raise EventError(
            f"timestamp {stamps[back[0] + 1]} follows {stamps[back[0]]}; expected increasing timestamps, "
            "those of the prediction window after those of the candles"
        )
    opens, closes = candle_bounds(instrument, timeframe, stamps)
    # A feed may stamp candles off the calendar's grid, and the calendar's candle may then overlap the first.
    closes[0] = min(closes[0], opens[1])
    return EventWindow(instrument, timeframe, stamps, opens, closes, history=len(timestamps))


def closed_window(request: EventRequest) -> EventWindow:
    """Return the window of a request, whose candles must have closed by its `as_of`.

    Raises
    ------
    EventError
        No candle, timestamps that don't increase, or a candle that closes after `as_of`.
    TimeGridError
        See `market.time_grid`.
    """
    window = event_window(
        request.instrument, request.timeframe, request.timestamps, request.future_timestamps
    )
    if window.now > request.as_of:
        raise EventError(
            f"the last candle closes at {window.now}, after as_of {request.as_of}; pass only closed candles"
        )
    return window


def as_ticks(times: DatetimeArray) -> Int64Array:
    """View datetime64[us] as microseconds since 1970: NumPy searches integers several times faster."""
    return times.view(np.int64)
