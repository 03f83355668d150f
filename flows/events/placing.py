"""Where releases and leaders fall on one symbol's candles: the rows and channels of its event array.

- A release belongs to the first candle that closes after it. So one before the open of a session falls on
  the session's first candle; one after the close, on a weekend or on a holiday on the next candle there is;
  one at the very instant of a close on the candle after it.
- A release more than two weeks before a candle's open belongs to no candle: no market is shut for as long, so
  the feed has a hole there, and what happened in it is not news on the candle after it.
- The candle before the first row, taken from the time grid, tells which releases still belong to that row.
- Point in time t is the close of the last candle used. A scheduled event is known ahead, on history and in
  the prediction window; an unscheduled one is there only if it happened by t, and never in a countdown.
- Surprises and leaders stand on history rows alone, each on the candle in which it became public.
- The countdown of a row runs from the candle's open to the next scheduled release, is 0 on that release's own
  candle, is capped, and is (0, 0) where no next release is known, as after the last row of a calendar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flows.events.config import EventError
from flows.events.leaders import VIX_CHANNEL, Signal, last_known
from flows.events.releases import KINDS, Calendar, Releases
from market.event_channels import CPI_COUNTDOWN, EVENT_CHANNELS, FOMC_COUNTDOWN, channels
from market.instruments import Instrument
from market.time_grid import candle_bounds, past_timestamps
from market.types import DatetimeArray, Float32Array, Int64Array

# By kind of release: its flag, and its surprise or score (−1: it has none).
_SURPRISE_OF: Final = {"fomc": "fomc_hawkish_score", "cpi": "cpi_surprise_z", "nfp": "nfp_surprise_z"}
FLAG_CHANNELS: Final = np.array(channels(*(f"is_{kind}" for kind in KINDS)))
SURPRISE_CHANNELS: Final = np.array(
    [EVENT_CHANNELS.index(_SURPRISE_OF[kind]) if kind in _SURPRISE_OF else -1 for kind in KINDS]
)
COUNTDOWNS: Final = {"fomc": (FOMC_COUNTDOWN, 45.0), "cpi": (CPI_COUNTDOWN, 31.0)}  # sin and cos; cap in days
_DAY_US: Final = 86_400e6
_LONGEST_BREAK_US: Final = 14 * 86_400_000_000


@dataclass(frozen=True)
class Window:
    """The candles of one event array, behind the candle before them.

    Attributes
    ----------
    stamps, opens, closes : (1 + rows,) datetime64[us]
        As stored, and from when to when; index 0 is the candle before the first row.
    history : int
        Rows whose candles have closed; the others are the prediction window.
    """

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

    @property
    def since(self) -> Int64Array:
        """From when releases belong to each row, (rows,) microseconds: the close before, or two weeks ago."""
        return np.maximum(_ints(self.closes)[:-1], _ints(self.opens)[1:] - _LONGEST_BREAK_US)

    def row_of(self, times: DatetimeArray) -> Int64Array:
        """Return the row of each instant, (n,); −1 or `rows` where it belongs to none of them."""
        rows = _ints(self.closes).searchsorted(_ints(times), side="right") - 1
        rows[_ints(times) < self.since[rows.clip(0, self.rows - 1)]] = -1
        return rows


def window_of(
    instrument: Instrument, timeframe: str, timestamps: DatetimeArray, future: DatetimeArray
) -> Window:
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
    closes[0] = min(closes[0], opens[1])  # the calendar's candle may reach into one that is stamped otherwise
    return Window(stamps, opens, closes, history=len(timestamps))


def event_rows(
    window: Window, calendar: Calendar, releases: Releases, signals: Sequence[Signal]
) -> Float32Array:
    """Return the event array, (rows, 20) float32, C-contiguous, of a symbol that `releases` concern."""
    array = np.zeros((window.rows, len(EVENT_CHANNELS)), dtype=np.float32)
    _flag(array, window, releases)
    _surprise(array, window, calendar.scored)
    for kind, (pair, cap) in COUNTDOWNS.items():
        _countdown(array, pair, cap, window, calendar.countdowns[kind])
    for signal in signals:
        _lead(array, window, signal)
    return array


def _flag(array: Float32Array, window: Window, releases: Releases) -> None:
    rows = window.row_of(releases.times)
    inside = (rows >= 0) & (rows < window.rows) & releases.known_at(window.now)
    array[rows[inside], FLAG_CHANNELS[releases.kind[inside]]] = 1.0


def _surprise(array: Float32Array, window: Window, scored: Releases) -> None:
    rows = window.row_of(scored.public_at)
    inside = (rows >= 0) & (rows < window.history)
    array[rows[inside], SURPRISE_CHANNELS[scored.kind[inside]]] = scored.score[inside]


def _countdown(
    array: Float32Array, pair: tuple[int, ...], cap: float, window: Window, times: DatetimeArray
) -> None:
    following = _ints(times).searchsorted(window.since)  # the first that no earlier candle has
    known = following.searchsorted(len(times))  # rows before this one have a next release
    if known == 0:
        return
    time = _ints(times)[following[:known]]
    days = (time - _ints(window.opens[1:])[:known]) / _DAY_US
    days[time < _ints(window.closes[1:])[:known]] = 0.0
    angle = np.minimum(days, cap) * (np.pi / cap)
    sine, cosine = pair
    array[:known, sine] = np.sin(angle)
    array[:known, cosine] = np.cos(angle)


def _lead(array: Float32Array, window: Window, signal: Signal) -> None:
    opens = window.opens[1 : window.history + 1]
    values, since = last_known(signal, opens)
    if signal.channel != VIX_CHANNEL:  # a level stays what it was; a return is news only once
        values[since <= window.opens[: window.history]] = 0.0
    array[: window.history, signal.channel] = values


def _ints(times: DatetimeArray) -> Int64Array:
    """View datetime64[us] as microseconds: NumPy searches and compares integers several times faster."""
    return times.view(np.int64)
