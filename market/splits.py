"""Finds splits for which the candles before them are not adjusted."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.types import DatetimeArray, Float64Array

# New shares for one old share, or old for one new: the factors that issuers choose.
_FACTORS: Final = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)
_TOLERANCE: Final = 0.08  # in log price: how far the market may move over the night of the split
_WIDEST_CANDLE: Final = 0.25  # share of the step that the range of a candle on either side may have
_ORDINARY_STEPS: Final = 18  # times the median step between closes; the VIX of 1990 rose by half at 16
_LONGEST_NIGHT: Final = np.timedelta64(5 * 86_400_000_000, "us")  # over more, prices may have moved so far


@dataclass(frozen=True)
class Split:
    """A step between two candles that looks like a split.

    Attributes
    ----------
    row
        Row of the first candle after it.
    factor
        New shares for one old share, below 1 for a reverse split; the price is divided by it.
    """

    row: int
    factor: float

    @property
    def ratio(self) -> str:
        """The split as issuers write it, such as ``2:1``, ``3:2`` or ``1:10``."""
        if self.factor < 1:
            return ":".join(reversed(Split(self.row, 1 / self.factor).ratio.split(":")))
        return "3:2" if abs(self.factor - 1.5) < 1e-9 else f"{round(self.factor)}:1"


def find_splits(timestamps: DatetimeArray, candles: Float64Array) -> list[Split]:
    """Return the steps that look like splits, oldest first.

    A step looks like one if close to open and close to close are both near a factor of `_FACTORS`, the step
    is far larger than the window's other steps, and the ranges of both candles are small beside it: in a
    crash, prices move within candles. None of 26 real, adjusted series of 4 to 34 years has such a step.

    Parameters
    ----------
    timestamps : (T,) datetime64[us]
    candles : (T, 6)
        In the order of `market.candles.FEATURES`.
    """
    prices = candles[:, :4]
    positive = (prices > 0).all(axis=1)
    if not positive.all():
        rows = np.flatnonzero(positive)
        splits = find_splits(timestamps[rows], candles[rows])
        return [Split(int(rows[split.row]), split.factor) for split in splits]
    logs = np.log(prices)
    steps = logs[1:, 0] - logs[:-1, 3]
    widths = logs[:, 1] - logs[:, 2]
    if not len(steps):
        return []
    sizes = np.abs(steps)
    narrow = np.maximum(widths[1:], widths[:-1]) <= _WIDEST_CANDLE * sizes
    rare = sizes > max(
        np.log(_FACTORS[0]) - _TOLERANCE, _ORDINARY_STEPS * np.median(np.abs(np.diff(logs[:, 3])))
    )
    overnight = np.diff(timestamps) <= _LONGEST_NIGHT
    splits = []
    for row in np.flatnonzero(narrow & rare & overnight):
        to_open = float(sizes[row])
        to_close = abs(float(logs[row + 1, 3] - logs[row, 3]))
        factor = min(_FACTORS, key=lambda candidate: abs(np.log(candidate) - to_open))
        if max(abs(np.log(factor) - to_open), abs(np.log(factor) - to_close)) <= _TOLERANCE:
            splits.append(Split(int(row) + 1, factor if steps[row] < 0 else 1 / factor))
    return splits
