"""Chooses the windows of candles on which the accuracy of a bundle is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from export.accuracy.errors import CandleFileError
from market.types import DatetimeArray, Float64Array, Int64Array

LONGEST_GAP: Final = np.timedelta64(10, "D")
"""A longer gap between two candles ends a series: weekends and holidays are shorter, and holes are not."""

WINDOWS_OF_A_BLOCK: Final = 5
"""Windows in a row of one symbol that are drawn together (`export.accuracy.bootstrap`)."""

CLOSE: Final = 3
"""Column of the close."""


@dataclass(frozen=True, eq=False)
class CandleSeries:
    """Candles of one symbol, oldest first.

    Attributes
    ----------
    asset_class
        One of `market.instruments.ASSET_CLASSES`, or "unknown".
    time_zone
        IANA name of the clock from which the model's time fields are read.
    timestamps
        (n,) datetime64[us], UTC.
    candles
        (n, 6) in the order of `market.candles.FEATURES`, raw units, finite.
    """

    symbol: str
    asset_class: str
    time_zone: str
    timestamps: DatetimeArray
    candles: Float64Array

    def __len__(self) -> int:
        return len(self.timestamps)

    def without_gaps(self) -> list["CandleSeries"]:
        """Return the parts of the series that no gap above `LONGEST_GAP` divides."""
        starts = np.flatnonzero(np.diff(self.timestamps) > LONGEST_GAP) + 1
        edges = [0, *starts.tolist(), len(self)]
        return [
            CandleSeries(
                self.symbol, self.asset_class, self.time_zone, self.timestamps[a:b], self.candles[a:b]
            )
            for a, b in pairwise(edges)
        ]


@dataclass(frozen=True)
class Shape:
    """How long windows are: `lookback` candles of history and `pred_len` that follow."""

    lookback: int
    pred_len: int

    def __len__(self) -> int:
        return self.lookback + self.pred_len


@dataclass(frozen=True, eq=False)
class Window:
    """Candles `first` … `first` + lookback + pred_len of a series; `block` numbers its block."""

    series: CandleSeries
    first: int
    shape: Shape
    block: int

    @property
    def timestamps(self) -> DatetimeArray:
        """Of history and future, (lookback + pred_len,)."""
        return self.series.timestamps[self.first : self.first + len(self.shape)]

    @property
    def candles(self) -> Float64Array:
        """History and future, (lookback + pred_len, 6)."""
        return self.series.candles[self.first : self.first + len(self.shape)]

    @property
    def history(self) -> Float64Array:
        """The candles that a forecast sees, (lookback, 6)."""
        return self.candles[: self.shape.lookback]

    @property
    def actual(self) -> Float64Array:
        """The closes that follow, (pred_len,)."""
        return self.candles[self.shape.lookback :, CLOSE]

    @property
    def scale(self) -> Float64Array:
        """The standard deviation of a random walk's close at each step, price units, (pred_len,).

        That of the changes of close in the history, times the square root of the step. Errors divided by it
        are comparable between a coin and a currency pair, and between the first step and the last.
        """
        return _deviation(self.history) * np.sqrt(np.arange(1, self.shape.pred_len + 1))


def choose_windows(series: Sequence[CandleSeries], shape: Shape, count: int) -> list[Window]:
    """Return `count` windows: equally many of each asset class, of each symbol in it, and over its time.

    Futures never overlap. Where a class or a symbol has too few candles the others make up for it. Windows
    whose close never moves in the history are left out.

    Raises
    ------
    CandleFileError
        The candles give fewer windows.
    """
    by_class: dict[str, dict[str, list[tuple[CandleSeries, int]]]] = {}
    for whole in series:
        for part in whole.without_gaps():
            symbols = by_class.setdefault(part.asset_class, {})
            symbols.setdefault(part.symbol, []).extend((part, first) for first in _firsts(part, shape))
    available = {name: sum(map(len, symbols.values())) for name, symbols in by_class.items()}
    if sum(available.values()) < count:
        raise CandleFileError(
            f"the candles give {sum(available.values())} windows of {shape.lookback} candles and the "
            f"{shape.pred_len} that follow; {count} are needed, whose last {shape.pred_len} do not overlap: "
            f"about {count * shape.pred_len + shape.lookback} candles in all"
        )
    windows: list[Window] = []
    block = 0
    shares = equal_shares(count, list(available.values()))
    for symbols, share in zip(by_class.values(), shares, strict=True):
        candidates = list(symbols.values())
        for places, taken in zip(candidates, equal_shares(share, list(map(len, candidates))), strict=True):
            picks = _spread(len(places), taken)
            windows += [
                Window(
                    series=places[pick][0],
                    first=places[pick][1],
                    shape=shape,
                    block=block + i // WINDOWS_OF_A_BLOCK,
                )
                for i, pick in enumerate(picks)
            ]
            block += -(-taken // WINDOWS_OF_A_BLOCK)
    return windows


def equal_shares(total: int, available: Sequence[int]) -> list[int]:
    """Divide `total` into shares as equal as what is available permits.

    Parameters
    ----------
    available
        The most that each share can be; their sum is at least `total`.
    """
    shares, left = [0] * len(available), total
    order = sorted(range(len(available)), key=lambda i: available[i])  # the scarcest first
    for done, i in enumerate(order):
        shares[i] = min(available[i], -(-left // (len(order) - done)))
        left -= shares[i]
    return shares


def _firsts(series: CandleSeries, shape: Shape) -> list[int]:
    """Return where windows of a series may begin so that their futures do not overlap."""
    closes = series.candles[:, CLOSE]
    firsts = range(0, len(series) - len(shape) + 1, shape.pred_len)
    return [first for first in firsts if np.ptp(closes[first : first + shape.lookback]) > 0]


def _spread(available: int, count: int) -> Int64Array:
    """Return `count` different places of 0 … available − 1, evenly spread."""
    return (np.arange(count) * available) // max(count, 1)


def _deviation(candles: Float64Array) -> float:
    return float(np.diff(candles[:, CLOSE]).std())
