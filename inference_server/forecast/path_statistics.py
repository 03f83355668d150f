"""Computes statistics of sample paths: quantiles, probabilities and realised volatility.

A probability is a share of the paths: of P paths it is a multiple of 1 / P. None of the statistics is
calibrated.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]


def quantiles(values: Float64Array, levels: Sequence[float]) -> Float64Array:
    """Return quantiles over the paths, by Weibull's plotting position as `envelope.envelope` takes them.

    Parameters
    ----------
    values
        (paths, …), finite.
    levels
        Strictly between 0 and 1.

    Returns
    -------
    array
        (levels, …), in the order of `levels` and the unit of `values`.
    """
    return np.quantile(values, levels, axis=0, method="weibull")


def beyond_paths(levels: Sequence[float], paths: int) -> list[float]:
    """Return the levels whose quantile is the lowest or the highest path.

    The k-th lowest of P paths is the quantile of level k / (P + 1), so that no path lies beyond levels below
    1 / (P + 1) or above P / (P + 1).
    """
    return [level for level in levels if not 1 / (paths + 1) <= level <= paths / (paths + 1)]


def probability_above(closes: Float64Array, prices: Sequence[float]) -> Float64Array:
    """Return the share of the paths whose close is above each price, step by step.

    Parameters
    ----------
    closes
        (paths, pred_len), price units.
    prices
        Any number of prices.

    Returns
    -------
    array
        (prices, pred_len), 0 … 1.
    """
    shares = np.empty((len(prices), closes.shape[1]))
    for row, price in enumerate(prices):  # one price at a time: all at once would be a large array
        shares[row] = (closes > price).mean(axis=0)
    return shares


def probability_touched(prices: Float64Array, last_close: float, levels: Sequence[float]) -> Float64Array:
    """Return the share of the paths that reach each level in any candle up to each step.

    A level at or above the last close is reached by a candle whose highest price is not below it, one below
    the last close by a candle whose lowest price is not above it. The highest and the lowest are those of
    open, high, low and close, since the model may make a high below its close.

    Parameters
    ----------
    prices
        (paths, pred_len, 4): open, high, low, close.
    last_close
        Close of the last candle used.
    levels
        Any number of prices.

    Returns
    -------
    array
        (levels, pred_len), 0 … 1, never falling along a row.
    """
    highest = np.maximum.accumulate(prices.max(axis=2), axis=1)
    lowest = np.minimum.accumulate(prices.min(axis=2), axis=1)
    shares = np.empty((len(levels), prices.shape[1]))
    for row, level in enumerate(levels):
        reached = highest >= level if level >= last_close else lowest <= level
        shares[row] = reached.mean(axis=0)
    return shares


def realised_volatility(closes: Float64Array, last_close: float) -> Float64Array:
    """Return the realised volatility of each path from the last close through each step.

    RV(k) = √(Σ r(i)², i = 1 … k) with r(i) = ln(c(i) / c(i - 1)) and c(0) the last close (Andersen,
    Bollerslev, Diebold and Labys 2003; no mean is subtracted). It covers k candles and is not annualised: the
    volatility per candle is RV(k) / √k, and that of a year of n candles RV(k) · √(n / k).

    Parameters
    ----------
    closes
        (paths, pred_len), price units.
    last_close
        Close of the last candle used.

    Returns
    -------
    array
        (paths, pred_len); NaN from the step on where a close is zero or below, which has no logarithm.
    """
    start = np.full((len(closes), 1), last_close)
    prices = np.concatenate([start, closes], axis=1)
    logs = np.log(prices, out=np.full(prices.shape, np.nan), where=prices > 0)
    volatility: Float64Array = np.sqrt(np.cumsum(np.diff(logs, axis=1) ** 2, axis=1))
    return volatility
