"""Aggregates candles of a finer timeframe into those of a coarser one, by the sessions of the instrument.

- A coarse candle consists of the finer ones that open before it closes and close after it opens; finer ones
  outside of its sessions, as before the open of an exchange, belong to none.
- Open, high, low and close are the first, highest, lowest and last; volume and amount are sums, and unknown
  where one of them is.
- The newest coarse candle is left out until its last finer candle is there, or a later one: what has not
  finished is never used. The oldest one is left out if it lacks a part, because the history may begin within
  it.
- Candles with missing parts in between are used, unless the instrument's `only_whole_candles` is set.
- A finer candle that reaches beyond the close of a coarse one, as that of a feed beside the grid, would tell
  what happened after it: the coarse candle is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.candles import FEATURES
from market.instruments import Instrument
from market.time_grid import candle_bounds, instrument_grid
from market.timeframes import CANDLE_LENGTH, TIMEFRAMES
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array

_CLOSE: Final = FEATURES.index("close")


@dataclass(frozen=True)
class AggregatedCandles:
    """Candles of a coarse timeframe, oldest first.

    Attributes
    ----------
    timestamps
        (n,) datetime64[us] UTC.
    features
        (n, 6) in the order of `market.candles.FEATURES`; NaN where volume or amount is unknown.
    missing
        (n,) number of finer candles of the trading calendar that each of them lacks.
    """

    timestamps: DatetimeArray
    features: Float64Array
    missing: Int64Array

    def keep(self, rows: BoolArray | slice) -> "AggregatedCandles":
        """Return the candles at some positions."""
        return AggregatedCandles(self.timestamps[rows], self.features[rows], self.missing[rows])

    def last(self, count: int) -> "AggregatedCandles":
        """Return the last candles, at most `count`."""
        return self.keep(slice(max(len(self.timestamps) - count, 0), None))

    def note(self, symbol: str, timeframe: str, source: str) -> str | None:
        """Return a sentence for the log if any of the candles lacks parts, else None."""
        incomplete = int((self.missing > 0).sum())
        if not incomplete:
            return None
        return (
            f"{symbol}: {incomplete} of {len(self.missing)} {timeframe} candles, aggregated from {source}, "
            f"lack {int(self.missing.sum())} {source} candles and are used; only_whole_candles in "
            "the table instruments leaves them out"
        )


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


def aggregate(
    instrument: Instrument,
    timeframe: str,
    source: str,
    timestamps: DatetimeArray,
    features: Float64Array,
    closed_by: np.datetime64 | None = None,
) -> AggregatedCandles:
    """Return the coarse candles that consist of finer ones.

    Parameters
    ----------
    timeframe, source
        Of the coarse and of the finer candles.
    timestamps : (m,) datetime64[us]
        Of the finer candles, UTC, increasing.
    features : (m, 6)
        In the order of `market.candles.FEATURES`; NaN where volume or amount is unknown.
    closed_by
        Instant by which the coarse candles had closed; None for any.

    Raises
    ------
    market.time_grid.TimeGridError
        The calendar is unknown, or does not cover a timestamp.
    """
    if not len(timestamps):
        return AggregatedCandles(timestamps, features, np.zeros(0, dtype=np.int64))
    opens, closes = candle_bounds(instrument, source, timestamps)
    coarse, coarse_opens, coarse_closes = _coarse_candles(instrument, timeframe, opens[0], closes[-1])
    row = np.searchsorted(coarse_closes, opens, side="right")
    inside = row < len(coarse)
    inside[inside] = closes[inside] > coarse_opens[row[inside]]
    row, opens, closes, features = row[inside], opens[inside], closes[inside], features[inside]
    if not len(row):
        return AggregatedCandles(coarse[:0], features, np.zeros(0, dtype=np.int64))
    starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
    ends = np.concatenate([starts[1:], [len(row)]]) - 1
    rows = row[starts]
    values = np.column_stack(
        [
            features[starts, 0],
            np.maximum.reduceat(features[:, 1], starts),
            np.minimum.reduceat(features[:, 2], starts),
            features[ends, _CLOSE],
            np.add.reduceat(features[:, 4:], starts),
        ]
    )
    reach = np.maximum.reduceat(closes.view(np.int64), starts)
    last_close = coarse_closes[rows].view(np.int64)
    usable = reach <= last_close
    if closed_by is not None:
        usable &= coarse_closes[rows] <= closed_by
    usable[-1] &= reach[-1] == last_close[-1] or not inside[-1]
    expected = _finer_candles(instrument, source, coarse[rows], coarse_opens[rows], coarse_closes[rows])
    missing = np.maximum(expected - (ends - starts + 1), 0)
    usable[0] &= missing[0] == 0 or not inside[0]
    if instrument.only_whole_candles:
        usable &= missing == 0
    return AggregatedCandles(coarse[rows], values, missing).keep(usable)


def _coarse_candles(
    instrument: Instrument, timeframe: str, first: np.datetime64, last: np.datetime64
) -> tuple[DatetimeArray, DatetimeArray, DatetimeArray]:
    """Return timestamps, opens and closes of the coarse candles around a span of time."""
    grid, length = instrument_grid(instrument, timeframe), CANDLE_LENGTH[timeframe]
    start, stop = grid.count_up_to(np.array([first - length, last + length])).tolist()
    coarse = grid.stamps(start - 2, stop + 2)
    return (coarse, *candle_bounds(instrument, timeframe, coarse))


def _finer_candles(
    instrument: Instrument, source: str, coarse: DatetimeArray, opens: DatetimeArray, closes: DatetimeArray
) -> Int64Array:
    """Return how many candles of the calendar's grid belong to each coarse candle, (n,)."""
    grid = instrument_grid(instrument, source)
    if source == "1d":  # stamped with a date, not with its open
        return np.asarray(grid.count_before(coarse + CANDLE_LENGTH["1w"]) - grid.count_before(coarse))
    return np.asarray(grid.count_before(closes) - grid.count_before(opens))
