"""Selects the candles that a forecast starts from by their times alone, and the times that it is for."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from market.candle_warnings import LONGEST_GAP, candles_behind
from market.closed_candles import last_closed
from market.feed_grid import feed_grid
from market.instruments import Instrument
from market.spacing import contradiction, other_spacing
from market.time_grid import closed_by
from market.times import instant
from market.types import DatetimeArray, Int64Array
from market.warning_codes import WarningCode, warning


@dataclass(frozen=True)
class WindowCut:
    """How the windows of a run are cut, the same for all symbols.

    Attributes
    ----------
    as_of
        Aware instant by which the candles had closed.
    lookback, pred_len
        The most candles of a window, and the number of future ones.
    min_candles
        The fewest candles that the server forecasts from.
    stale_after
        A symbol is stale when more candles than these have closed since its newest one; None for
        `LONGEST_GAP` of the timeframe.
    """

    timeframe: str
    as_of: datetime
    lookback: int
    pred_len: int
    min_candles: int
    stale_after: int | None = None

    @property
    def most_behind(self) -> int:
        """The most candles that may have closed since a symbol's newest one."""
        return LONGEST_GAP[self.timeframe] if self.stale_after is None else self.stale_after


@dataclass(frozen=True)
class WindowTimes:
    """Which candles a forecast starts from, and the times that it is for.

    Attributes
    ----------
    kept
        Positions of the candles among those given, increasing.
    future_timestamps
        (pred_len,) datetime64[us] UTC on the grid that the candles stand on.
    late
        Whether the first future candle had closed already.
    warnings
        Warnings about the candles, each beginning with its code.
    """

    kept: Int64Array
    future_timestamps: DatetimeArray
    late: bool
    warnings: tuple[str, ...]


class StaleError(ValueError):
    """The newest candle is too far behind the calendar."""


def window_times(timestamps: DatetimeArray, instrument: Instrument, cut: WindowCut) -> WindowTimes:
    """Select the last candles that had closed, after the last hole of more than `LONGEST_GAP` candles.

    Parameters
    ----------
    timestamps
        (T,) datetime64[us] UTC, oldest first, of an instrument's last candles.

    Raises
    ------
    StaleError
        The newest candle is too far behind the calendar.
    ValueError
        There are too few candles, or they are not of this timeframe; the message says what is missing.
    """
    timeframe, lookback = cut.timeframe, cut.lookback
    if not len(timestamps):
        raise ValueError(
            f"no {timeframe} candles before {cut.as_of:%Y-%m-%d %H:%M} UTC in the database; load some"
        )
    spacing = other_spacing(timestamps[-lookback:], timeframe)
    if spacing is not None:
        raise ValueError(contradiction(instrument.symbol, spacing, timeframe))
    now = instant(cut.as_of)
    keep = last_closed(timestamps, timeframe, now, lookback, instrument)
    if len(keep) < cut.min_candles:
        raise ValueError(
            f"{len(keep)} {timeframe} candles had closed by {cut.as_of:%Y-%m-%d %H:%M} UTC; expected at "
            f"least {cut.min_candles}: load more history, or raise lookback (now {lookback})"
        )
    timestamps = timestamps[keep]
    grid = feed_grid(instrument, timeframe, timestamps)
    behind = candles_behind(instrument, grid, timestamps[-1], now)
    if behind > cut.most_behind:
        raise StaleError(
            f"newest candle {_minute(timestamps[-1])}, {behind} later ones had closed by {_minute(now)}; "
            f"at most {cut.most_behind} may have"
        )
    missing = grid.missing(timestamps)
    holes = np.flatnonzero(missing > LONGEST_GAP[timeframe])
    notes: tuple[str, ...] = ()
    if holes.size:
        before = int(holes[-1]) + 1
        notes = (
            warning(
                WarningCode.SHORTER_HISTORY,
                f"{before} of {len(keep)} candles are left out: they lie before a hole of "
                f"{missing[before - 1]} candles after {_minute(timestamps[before - 1])}",
            ),
        )
        keep, timestamps = keep[before:], timestamps[before:]
        if len(keep) < cut.min_candles:
            raise ValueError(
                f"{len(keep)} {timeframe} candles follow the last hole in the feed; expected at least "
                f"{cut.min_candles} ({notes[0]})"
            )
        grid = feed_grid(instrument, timeframe, timestamps)  # the grid of the remaining candles alone
    future = grid.after(timestamps[-1], cut.pred_len)
    late = bool(closed_by(instrument, timeframe, future[:1], now).any())
    return WindowTimes(keep, future, late, notes)


def _minute(moment: np.datetime64) -> str:
    return f"{np.datetime_as_string(moment, unit='m').replace('T', ' ')} UTC"
