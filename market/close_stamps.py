"""Finds the timestamps of candles that a feed stamps with their close.

- An intraday candle gets the open of the calendar's candle that closes at its stamp: the last half hour of
  New York, stamped 16:00, opened at 15:30. A stamp at which none closes lies one length behind its open, and
  so do all stamps of a feed that stands beside the calendar's grid.
- A daily candle that is stamped with a time belongs to the last session that had opened before it, a weekly
  one to the last week. Where it is stamped with a date, a day is that of the session, which is also the date
  of its close, and a week the one that the date lies in. A time of 00:00 UTC is a date, unless a session
  closes then, as those of a market around the clock do.
"""

from typing import Final

import numpy as np

from market.instruments import Instrument
from market.time_grid import candle_bounds, instrument_grid
from market.timeframes import CANDLE_LENGTH, INTRADAY
from market.types import DatetimeArray

_ON_GRID: Final = 0.5  # share of a feed's stamps at which candles of the calendar close
_DAY: Final = CANDLE_LENGTH["1d"]
_MONDAY: Final = np.datetime64("1969-12-29", "us")


def stamps_of_closes(
    instrument: Instrument, timeframe: str, closes: DatetimeArray, *, dated: bool = False
) -> DatetimeArray:
    """Return the timestamps, (n,) datetime64[us] UTC, under which candles are stored.

    Parameters
    ----------
    closes : (n,) datetime64[us]
        As the feed stamps the candles, UTC, in any order.
    dated
        Whether daily or weekly candles are stamped with dates alone.

    Raises
    ------
    market.time_grid.TimeGridError
        The calendar is unknown.
    """
    if not len(closes):
        return closes
    if timeframe in INTRADAY:
        return _intraday(instrument, timeframe, closes)
    dates = closes if timeframe == "1d" else closes - (closes - _MONDAY) % CANDLE_LENGTH["1w"]
    if dated:
        return dates
    grid = instrument_grid(instrument, timeframe)
    stamps = grid.at(np.arange(len(grid)))
    opens, ends = candle_bounds(instrument, timeframe, stamps)
    row = np.searchsorted(opens, closes, side="left") - 1
    known = np.maximum(row, 0)
    is_date = (closes - closes.astype("datetime64[D]") == np.timedelta64(0)) & (ends[known] != closes)
    return np.where(is_date | (row < 0), dates, stamps[known])


def _intraday(instrument: Instrument, timeframe: str, closes: DatetimeArray) -> DatetimeArray:
    grid = instrument_grid(instrument, timeframe)
    before = closes - CANDLE_LENGTH[timeframe]
    row = grid.count_before(closes) - 1
    stamps = grid.at(np.maximum(row, 0))
    on_grid = (row >= 0) & (grid.closes(stamps)[1] == closes)
    return np.where(on_grid, stamps, before) if on_grid.mean() >= _ON_GRID else before
