"""Fills the 20 channels of one symbol's event array.

- Point in time t is the close of the last candle used. A scheduled event is known ahead, on history and in
  the prediction window; an unscheduled one sets its flag only if it happened by t, and is in no countdown.
- Surprises and leaders fill history rows alone, each on the candle in which it became public.
- The countdown of a row runs from the candle's open to the next scheduled release, is 0 on that release's own
  candle, is capped, and is (0, 0) where no next release is known, as after the last row of a calendar.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from flows.events.config import KINDS
from flows.events.leaders import VIX_CHANNEL, Signal, last_known
from flows.events.releases import EconomicCalendar, Releases
from flows.events.window import EventWindow, as_ticks
from market.event_channels import CPI_COUNTDOWN, EVENT_CHANNELS, FOMC_COUNTDOWN, channels
from market.types import DatetimeArray, Float32Array, Int64Array

# By kind of release: its flag, and its surprise or score (−1: it has none).
_SURPRISE_OF: Final = {"fomc": "fomc_hawkish_score", "cpi": "cpi_surprise_z", "nfp": "nfp_surprise_z"}
FLAG_CHANNELS: Final = np.array(channels(*(f"is_{kind}" for kind in KINDS)))
SURPRISE_CHANNELS: Final = np.array(
    [EVENT_CHANNELS.index(_SURPRISE_OF[kind]) if kind in _SURPRISE_OF else -1 for kind in KINDS]
)
COUNTDOWNS: Final = {"fomc": (FOMC_COUNTDOWN, 45.0), "cpi": (CPI_COUNTDOWN, 31.0)}  # sin and cos; cap in days
_DAY_US: Final = 86_400e6


def event_array(
    window: EventWindow,
    calendar: EconomicCalendar,
    releases: Releases,
    release_rows: Int64Array,
    signals: Sequence[Signal],
) -> Float32Array:
    """Return the event array of one symbol.

    Parameters
    ----------
    window
        The symbol's candles.
    calendar
        As it was known at the window's point in time.
    releases
        Those of the calendar that concern the symbol, n of them.
    release_rows : (n,)
        The row of each release, as `EventWindow.row_of` gives it.
    signals
        The leaders' channels for the timeframe.

    Returns
    -------
    (rows, 20) float32
        C-contiguous; channels as `market.event_channels.EVENT_CHANNELS`.
    """
    array = np.zeros((window.rows, len(EVENT_CHANNELS)), dtype=np.float32)
    _set_flags(array, window, releases, release_rows)
    _set_surprises(array, window, calendar.scored)
    for kind, (pair, cap) in COUNTDOWNS.items():
        _set_countdown(array, pair, cap, window, calendar.countdowns[kind])
    for signal in signals:
        _set_leader(array, window, signal)
    return array


def _set_flags(array: Float32Array, window: EventWindow, releases: Releases, rows: Int64Array) -> None:
    inside = (rows >= 0) & (rows < window.rows) & releases.known_at(window.now)
    array[rows[inside], FLAG_CHANNELS[releases.kind[inside]]] = 1.0


def _set_surprises(array: Float32Array, window: EventWindow, scored: Releases) -> None:
    rows = window.row_of(scored.public_at)
    inside = (rows >= 0) & (rows < window.history)
    array[rows[inside], SURPRISE_CHANNELS[scored.kind[inside]]] = scored.score[inside]


def _set_countdown(
    array: Float32Array, pair: tuple[int, ...], cap: float, window: EventWindow, times: DatetimeArray
) -> None:
    ticks = as_ticks(times)
    following = ticks.searchsorted(window.since)  # the first release that belongs to no earlier candle
    counted = following.searchsorted(len(ticks))  # rows from here on have no next release
    if counted == 0:
        return
    release = ticks[following[:counted]]
    opens, closes = as_ticks(window.opens[1:])[:counted], as_ticks(window.closes[1:])[:counted]
    days = np.where(release < closes, 0.0, (release - opens) / _DAY_US)
    angle = np.minimum(days, cap) * (np.pi / cap)
    sine, cosine = pair
    array[:counted, sine] = np.sin(angle)
    array[:counted, cosine] = np.cos(angle)


def _set_leader(array: Float32Array, window: EventWindow, signal: Signal) -> None:
    values, known_at = last_known(signal, window.opens[1 : window.history + 1])
    if signal.channel != VIX_CHANNEL:  # a level is valid until the next; a return is news on one candle only
        values[known_at <= window.opens[: window.history]] = 0.0
    array[: window.history, signal.channel] = values
