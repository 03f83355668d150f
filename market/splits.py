"""Finds splits that the candles before them are not adjusted for."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from market.types import DatetimeArray, Float64Array

# New shares for old ones, or old for new: what issuers choose.
_FACTORS: Final = (1.5, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 100)
_NEAR: Final = 0.08  # of the price: how far the market may move over the night of the split
_QUIET: Final = 0.25  # of the step: how wide a candle on either side may be
_ORDINARY_STEPS: Final = 18  # times the median step between closes; the VIX of 1990 rose by half at 16
_LONGEST_NIGHT: Final = np.timedelta64(5 * 86_400_000_000, "us")  # beyond it the price may have gone there


@dataclass(frozen=True)
class Split:
    """A step between two candles that looks like a split.

    Attributes
    ----------
    row
        Of the first candle after it.
    factor
        New shares for an old one, below 1 for a reverse split: the price falls to 1 / factor.
    """

    row: int
    factor: float

    @property
    def ratio(self) -> str:
        """The split as it is written, such as ``2:1``, ``3:2`` or ``1:10``."""
        if self.factor < 1:
            return ":".join(reversed(Split(self.row, 1 / self.factor).ratio.split(":")))
        return "3:2" if abs(self.factor - 1.5) < 1e-9 else f"{round(self.factor)}:1"


def find_splits(timestamps: DatetimeArray, candles: Float64Array) -> list[Split]:
    """Return the steps that look like splits, oldest first.

    A step is one if close to open and close to close are both near a factor of splits, far beyond what the
    window's closes do otherwise, and neither candle has a range of its own that comes near it: prices that
    crash move within candles. Of 26 real series of 4 to 34 years, which are adjusted, none has such a step.

    Parameters
    ----------
    timestamps : (T,) datetime64[us]
    candles : (T, 6)
        In the order of `market.candles.FEATURES`.
    """
    prices = candles[:, :4]
    sound = (prices > 0).all(axis=1)
    if not sound.all():
        rows = np.flatnonzero(sound)
        found = find_splits(timestamps[rows], candles[rows])
        return [Split(int(rows[split.row]), split.factor) for split in found]
    logs = np.log(prices)
    steps = logs[1:, 0] - logs[:-1, 3]
    widths = logs[:, 1] - logs[:, 2]
    if not len(steps):
        return []
    sizes = np.abs(steps)
    quiet = np.maximum(widths[1:], widths[:-1]) <= _QUIET * sizes
    rare = sizes > max(np.log(_FACTORS[0]) - _NEAR, _ORDINARY_STEPS * np.median(np.abs(np.diff(logs[:, 3]))))
    overnight = np.diff(timestamps) <= _LONGEST_NIGHT
    found = []
    for i in np.flatnonzero(quiet & rare & overnight):
        size = float(sizes[i])
        factor = min(_FACTORS, key=lambda each: abs(np.log(each) - size))
        settled = abs(float(logs[i + 1, 3] - logs[i, 3]))
        if max(abs(np.log(factor) - size), abs(np.log(factor) - settled)) <= _NEAR:
            found.append(Split(int(i) + 1, factor if steps[i] < 0 else 1 / factor))
    return found
