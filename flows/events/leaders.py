"""Computes the leaders' channels: returns of BTC, SPY and the dollar index, and the level of the VIX.

The rules, for history rows alone:

- A row holds the close-to-close log return of the leader's last candle that had closed by the row's open, if
  it closed after the previous candle's open; else 0, as while the leader's market is closed.
- A symbol may be its own leader: then the row holds the return of the candle before.
- The VIX is the last daily close known at the row's open, as a z-score over the closes of the 365 days before
  it (at least 20, else 0), clipped to ±3. Without daily candles of the VIX, FRED's VIXCLS, from the date on
  which a value was known.
- A leader without a candle by the end of the window gives zeros and one warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from flows.events.arrays import column_instants
from flows.events.config import EventConfig
from flows.events.surprises import level_z
from market.event_channels import EVENT_CHANNELS
from market.instruments import Instrument
from market.time_grid import candle_bounds
from market.types import DatetimeArray, Float64Array
from market.warning_codes import WarningCode, warning

RETURN_CHANNELS: Final = {
    leader: EVENT_CHANNELS.index(f"{leader}_log_return") for leader in ("btc", "spy", "dxy")
}
VIX_CHANNEL: Final = EVENT_CHANNELS.index("vix_level_z")
_YEAR: Final = np.timedelta64(365, "D").astype("timedelta64[us]")
_NEVER: Final = np.datetime64("0001-01-01", "us")
_FEWEST_CLOSES: Final = 20


@dataclass(frozen=True)
class Leaders:
    """Tables from which the leaders' channels are computed.

    Attributes
    ----------
    candles
        By timeframe: rows with symbol, ts and close, of any symbols. The VIX is read from ``1d``.
    vixcls
        Rows with date, value and known_on of FRED's VIXCLS, or None.
    """

    candles: Mapping[str, pl.DataFrame]
    vixcls: pl.DataFrame | None = None


@dataclass(frozen=True)
class Signal:
    """One leader's channel as a step function: from ``known_at[i]`` on it is ``values[i]``; (n,) each.

    The first value is 0 from the year 1 on, so that every instant has a value.
    """

    channel: int
    known_at: DatetimeArray
    values: Float64Array
    warning: str  # for windows in which the leader has no candles


def leader_signals(leaders: Leaders, timeframe: str, config: EventConfig) -> list[Signal]:
    """Return the channels of BTC, SPY, DXY and VIX for one timeframe, computed once for all symbols."""
    candles = leaders.candles.get(timeframe)
    signals = []
    for role, channel in RETURN_CHANNELS.items():
        leader = config.leaders[role]
        stamps, closes = _closes(candles, leader.symbol)
        known_at = candle_bounds(leader, timeframe, stamps)[1]
        returns = np.diff(np.log(closes)) if closes.size else closes
        text = f"leader {leader.symbol} has no {timeframe} candles for the window: its channel is 0"
        signals.append(_signal(channel, known_at[1:], returns, text))
    return [*signals, _vix(leaders, config.leaders["vix"])]


def last_known(signal: Signal, opens: DatetimeArray) -> tuple[Float64Array, DatetimeArray]:
    """Return a signal's value at each instant, and since when that value was known; (n,) each."""
    index = signal.known_at.view(np.int64).searchsorted(opens.view(np.int64), side="right") - 1
    return signal.values[index], signal.known_at[index]


def is_known(signal: Signal, first: np.datetime64, last: np.datetime64) -> bool:
    """Tell whether a leader has a return between two instants; for the VIX, any level by the last."""
    span = np.array([first, last]).view(np.int64)
    start, end = signal.known_at.view(np.int64).searchsorted(span, side="right")
    return bool(end > (1 if signal.channel == VIX_CHANNEL else start))


def _vix(leaders: Leaders, leader: Instrument) -> Signal:
    dates, levels = _closes(leaders.candles.get("1d"), leader.symbol)
    if len(dates):
        known_at = candle_bounds(leader, "1d", dates)[1]
    else:
        dates, levels, known_at = _vixcls(leaders.vixcls)
    z = level_z(levels, dates.searchsorted(dates - _YEAR), _FEWEST_CLOSES)
    text = f"leader {leader.symbol} has neither daily candles nor VIXCLS for the window: its channel is 0"
    return _signal(VIX_CHANNEL, known_at, z, text)


def _signal(channel: int, known_at: DatetimeArray, values: Float64Array, text: str) -> Signal:
    known_at = np.concatenate([[_NEVER], known_at])
    missing = warning(WarningCode.LEADER_MISSING, text)
    return Signal(channel, known_at, np.concatenate([[0.0], values]), missing)


def _vixcls(rows: pl.DataFrame | None) -> tuple[DatetimeArray, Float64Array, DatetimeArray]:
    """Return dates, values and the day since which each was known; later revisions are ignored."""
    if rows is None or rows.is_empty():
        none = np.zeros(0, dtype="datetime64[us]")
        return none, np.zeros(0), none
    kept = rows.drop_nulls(["value", "known_on"]).sort("date", "known_on").unique("date", keep="first")
    kept = kept.sort("date")
    dates, known_on = (kept[name].cast(pl.Datetime("us")).to_numpy() for name in ("date", "known_on"))
    return dates, kept["value"].cast(pl.Float64).to_numpy(), np.maximum.accumulate(known_on)


def _closes(candles: pl.DataFrame | None, symbol: str) -> tuple[DatetimeArray, Float64Array]:
    """Return timestamps and closes of one symbol, oldest first, without repetitions and invalid prices."""
    if candles is None:
        return np.zeros(0, dtype="datetime64[us]"), np.zeros(0)
    of_symbol = candles["symbol"] == symbol
    stamps = column_instants(candles["ts"].filter(of_symbol))
    closes = candles["close"].filter(of_symbol).cast(pl.Float64).to_numpy()
    valid = np.isfinite(closes) & (closes > 0)
    if valid.all() and (stamps[1:] > stamps[:-1]).all():
        return stamps, closes
    stamps, first = np.unique(stamps[valid], return_index=True)
    return stamps, closes[valid][first]
