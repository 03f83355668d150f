"""Candles that can't be: one set of rules for what the loader refuses and what a forecast warns of."""

import numpy as np

from market.types import BoolArray, Float64Array

# Prices that were multiplied by an adjustment differ in the last digits where they were equal.
_ROUNDING = 1e-9


def impossible(candles: Float64Array) -> dict[str, BoolArray]:
    """Tell what can't be of which candles, apart from the sign of their prices.

    Parameters
    ----------
    candles : (T, 6)
        In the order of `market.candles.FEATURES`; NaN where volume or amount is unknown.

    Returns
    -------
    dict
        (T,) whether it is so of each candle, by what is wrong in words; only what is wrong somewhere.
    """
    opens, highs, lows, closes, volume, amount = candles.T
    room = _ROUNDING * np.abs(candles[:, :4]).max(axis=1, initial=0.0)
    found = {
        "high is below another price": highs < np.maximum(np.maximum(opens, lows), closes) - room,
        "low is above another price": lows > np.minimum(opens, closes) + room,
        "volume is negative": volume < 0,
        "amount is negative": amount < 0,
    }
    return {words: rows for words, rows in found.items() if rows.any()}


def nonpositive(candles: Float64Array) -> BoolArray:
    """Tell of which candles, (T,), a price is zero or below; so few markets can be that it is asked apart."""
    return np.asarray((candles[:, :4] <= 0).any(axis=1))
