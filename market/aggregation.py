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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from market.candles import FEATURES
from market.instruments import Instrument
from market.time_grid import TimeGridError, candle_bounds, instrument_grid
from market.timeframes import CANDLE_LENGTH
from market.types import BoolArray, DatetimeArray, Float64Array, Int64Array
from market.warning_codes import WarningCode, warning

_CLOSE: Final = FEATURES.index("close")


@dataclass(frozen=True)
class MissingParts:
    """The finer candles that aggregated ones lack.

    Attributes
    ----------
    timeframe, source
        Of the aggregated and of the finer candles.
    counts
        (n,) how many of the trading calendar's each aggregated candle lacks.
    """

    timeframe: str
    source: str
    counts: Int64Array

    def keep(self, rows: Int64Array | BoolArray | slice) -> "MissingParts":
        """Return those of the candles at some positions."""
        return MissingParts(self.timeframe, self.source, self.counts[rows])

    def warnings(self) -> list[str]:
        """Return a warning if any of the candles lacks parts."""
        incomplete = int((self.counts > 0).sum())
        if not incomplete:
            return []
        return [
            warning(
                WarningCode.INCOMPLETE_CANDLES,
                f"{incomplete} of {len(self.counts)} {self.timeframe} candles, aggregated from "
                f"{self.source}, lack parts: {self.counts.sum()} {self.source} candles are missing; load "
                "them, or set only_whole_candles in the table instruments to leave such candles out",
            )
        ]


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
        The finer candles that each of them lacks.
    """

    timestamps: DatetimeArray
    features: Float64Array
    missing: MissingParts

    def keep(self, rows: BoolArray | slice) -> "AggregatedCandles":
        """Return the candles at some positions."""
        return AggregatedCandles(self.timestamps[rows], self.features[rows], self.missing.keep(rows))

    def last(self, count: int) -> "AggregatedCandles":
        """Return the last candles, at most `count`."""
        return self.keep(slice(max(len(self.timestamps) - count, 0), None))


def aggregate_each(
    instruments: Mapping[str, Instrument],
    timeframe: str,
    source: str,
    finer: Mapping[str, tuple[DatetimeArray, Float64Array]],
    closed_by: np.datetime64,
    count: int,
) -> tuple[dict[str, AggregatedCandles], dict[str, str]]:
    """Return the last `count` coarse candles of each symbol that has any, and why others have none.

    Parameters
    ----------
    finer
        By symbol, timestamps and features as `aggregate` takes them.
    """
    found: dict[str, AggregatedCandles] = {}
    refused: dict[str, str] = {}
    for symbol, (timestamps, features) in finer.items():
        try:
            candles = aggregate(instruments[symbol], timeframe, source, timestamps, features, closed_by)
        except TimeGridError as error:
            refused[symbol] = str(error)
            continue
        if len(candles.timestamps):
            found[symbol] = candles.last(count)
    return found, refused


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
        return _no_candles(timeframe, source)
    opens, closes = candle_bounds(instrument, source, timestamps)
    coarse, coarse_opens, coarse_closes = _coarse_candles(instrument, timeframe, opens[0], closes[-1])
    row = np.searchsorted(coarse_closes, opens, side="right")
    inside = row < len(coarse)
    inside[inside] = closes[inside] > coarse_opens[row[inside]]
    row, opens, closes, features = row[inside], opens[inside], closes[inside], features[inside]
    if not len(row):
        return _no_candles(timeframe, source)
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
    return AggregatedCandles(coarse[rows], values, MissingParts(timeframe, source, missing)).keep(usable)


def _no_candles(timeframe: str, source: str) -> AggregatedCandles:
    missing = MissingParts(timeframe, source, np.zeros(0, dtype=np.int64))
    return AggregatedCandles(np.zeros(0, dtype="datetime64[us]"), np.zeros((0, len(FEATURES))), missing)


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
