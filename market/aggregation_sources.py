"""Chooses the finer candles that an instrument's coarser ones are aggregated from."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from market.instruments import Instrument
from market.time_grid import TimeGridError, candle_bounds, instrument_grid
from market.timeframes import CANDLE_LENGTH, TIMEFRAMES


class NeededCandles(NamedTuple):
    """The finer candles to read for some instruments.

    Attributes
    ----------
    starts
        By timeframe and symbol, the instant from which on finer candles are needed.
    refused
        By symbol, why no candles can be aggregated: its calendar is unknown, or does not cover the candles.
    """

    starts: dict[str, dict[str, np.datetime64]]
    refused: dict[str, str]


def needed_candles(
    instruments: Mapping[str, Instrument],
    timeframe: str,
    newest: Mapping[str, Mapping[str, np.datetime64]],
    count: int,
) -> NeededCandles:
    """Return which finer candles the last `count` coarse ones of each instrument are aggregated from.

    Parameters
    ----------
    newest
        By timeframe and symbol, the newest stored candle; instruments without finer candles are left out.
    """
    needed = NeededCandles({}, {})
    for source, of_source in choose_sources(instruments, timeframe, newest).items():
        for symbol, instrument in of_source.items():
            try:
                start = first_needed(instrument, timeframe, newest[source][symbol], count)
            except TimeGridError as error:
                needed.refused[symbol] = str(error)
            else:
                needed.starts.setdefault(source, {})[symbol] = start
    return needed


def finer_timeframes(instrument: Instrument, timeframe: str) -> Sequence[str]:
    """Return the timeframes from which candles may be aggregated, the coarsest first."""
    finer = TIMEFRAMES[: TIMEFRAMES.index(timeframe)][::-1]
    if instrument.aggregate_from is None:
        return finer
    return [name for name in finer if name == instrument.aggregate_from]


def choose_sources(
    instruments: Mapping[str, Instrument], timeframe: str, newest: Mapping[str, Mapping[str, np.datetime64]]
) -> dict[str, dict[str, Instrument]]:
    """Divide instruments by the timeframe that their candles are aggregated from: the coarsest that has any.

    Parameters
    ----------
    newest
        By timeframe and symbol, the newest stored candle.

    Returns
    -------
    dict
        By timeframe; instruments without finer candles are in none.
    """
    chosen: dict[str, dict[str, Instrument]] = {}
    for symbol, instrument in instruments.items():
        for source in finer_timeframes(instrument, timeframe):
            if symbol in newest.get(source, {}):
                chosen.setdefault(source, {})[symbol] = instrument
                break
    return chosen


def first_needed(instrument: Instrument, timeframe: str, newest: np.datetime64, count: int) -> np.datetime64:
    """Return from which instant on finer candles are needed for the last `count` coarse ones.

    Parameters
    ----------
    newest
        Timestamp of the newest finer candle.

    Raises
    ------
    market.time_grid.TimeGridError
        The calendar is unknown.
    """
    grid = instrument_grid(instrument, timeframe)
    end = int(grid.count_up_to(np.array([newest + CANDLE_LENGTH[timeframe]]))[0])
    # The last of these may not have opened, and the one before it not have closed.
    first = grid.stamps(max(end - count - 2, 0), max(end - count - 1, 1))
    # A daily candle that is a part of a week is stamped before the week opens.
    opens: np.datetime64 = np.minimum(first, candle_bounds(instrument, timeframe, first)[0])[0]
    return opens
