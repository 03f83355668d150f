"""Finds candles that contradict themselves; the loader refuses them, and a forecast warns of them."""

import numpy as np

from market.types import BoolArray, Float64Array

# Equal prices differ in the last digits once they are multiplied by an adjustment.
_ROUNDING = 1e-9


def impossible(candles: Float64Array) -> dict[str, BoolArray]:
    """Return which candles contradict themselves, and how; the sign of prices is not checked.

    Parameters
    ----------
    candles : (T, 6)
        In the order of `market.candles.FEATURES`; NaN where volume or amount is unknown.

    Returns
    -------
    dict
        By a description of the fault: (T,) whether a candle has it. Faults that no candle has are left out.
    """
    opens, highs, lows, closes, volume, amount = candles.T
    tolerance = _ROUNDING * np.abs(candles[:, :4]).max(axis=1, initial=0.0)
    faults = {
        "high is below another price": highs < np.maximum(np.maximum(opens, lows), closes) - tolerance,
        "low is above another price": lows > np.minimum(opens, closes) + tolerance,
        "volume is negative": volume < 0,
        "amount is negative": amount < 0,
    }
    return {fault: rows for fault, rows in faults.items() if rows.any()}


def nonpositive(candles: Float64Array) -> BoolArray:
    """Return which candles, (T,), have a price of zero or below, as few instruments can."""
    return np.asarray((candles[:, :4] <= 0).any(axis=1))
