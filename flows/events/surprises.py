"""Compares releases with their forecasts: z-scores of surprises and the score of a rate decision."""

from typing import Final

import numpy as np

from market.types import Float64Array, Int64Array

RELEASES_BEFORE: Final = 20
FEWEST_RELEASES: Final = 5
_LIMIT: Final = 3.0
_QUARTER_POINT: Final = 0.25  # percent; the unit of the FOMC score
_SAME: Final = 1e-9  # relative: smaller differences of published figures are rounding errors


def surprise_z(actual: Float64Array, forecast: Float64Array) -> Float64Array:
    """Return each release's surprise in units of the standard deviation before it.

    z = (actual − forecast) / σ, clipped to ±3, where σ is the sample standard deviation of the 20 surprises
    before, without the current one. A release without actual or forecast has no surprise and enters no σ.

    Parameters
    ----------
    actual, forecast : (n,) float64
        Of one series, in the order of publication; NaN where missing.

    Returns
    -------
    (n,) float64
        NaN without a surprise; 0 where fewer than 5 surprises came before or they were all the same.
    """
    z = np.full(len(actual), np.nan)
    known = np.flatnonzero(np.isfinite(actual) & np.isfinite(forecast))
    if not known.size:
        return z
    surprise = actual[known] - forecast[known]
    padded = np.concatenate([np.full(RELEASES_BEFORE, np.nan), surprise])
    before = np.lib.stride_tricks.sliding_window_view(padded, RELEASES_BEFORE)[:-1]  # (known, 20)
    past = np.isfinite(before)
    count = past.sum(axis=1)
    mean = np.where(past, before, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = np.where(past, before - mean[:, None], 0.0) ** 2
    sigma = np.sqrt(squares.sum(axis=1) / np.maximum(count - 1, 1))
    size = np.maximum(np.where(past, np.abs(before), 0.0).max(axis=1), np.abs(surprise))
    usable = (count >= FEWEST_RELEASES) & (sigma > _SAME * size)
    z[known] = np.where(usable, np.clip(surprise / np.where(usable, sigma, 1.0), -_LIMIT, _LIMIT), 0.0)
    return z


def hawkish_score(
    actual: Float64Array, forecast: Float64Array, previous: Float64Array, override: Float64Array
) -> Float64Array:
    """Return the difference of each decision's rate from its forecast, in units of 25 bp, clipped to ±1.

    A missing forecast is replaced by the rate before: the actual of the decision before, else `previous`. An
    `override` (the column hawkish_score) replaces the result.

    Parameters
    ----------
    actual, forecast, previous, override : (n,) float64
        Rates in percent and the score, in the order of publication; NaN where missing.

    Returns
    -------
    (n,) float64
        NaN if a rate is missing.
    """
    before = np.concatenate([[np.nan], _last_known(actual)[:-1]]) if len(actual) else actual
    expected = np.where(np.isfinite(forecast), forecast, np.where(np.isfinite(before), before, previous))
    score = np.where(np.isfinite(override), override, (actual - expected) / _QUARTER_POINT)
    return np.asarray(np.clip(score, -1.0, 1.0))


def direction(actual: Float64Array, forecast: Float64Array) -> Float64Array:
    """Return the sign of actual − forecast, (n,) float64 of −1, 0, 1, or NaN where either is missing."""
    difference = actual - forecast
    size = np.maximum(np.abs(actual), np.abs(forecast))
    return np.where(np.abs(difference) <= _SAME * size, 0.0 * difference, np.sign(difference))


def level_z(values: Float64Array, starts: Int64Array, fewest: int) -> Float64Array:
    """Return the z-score of each value among the values before it, clipped to ±3.

    Parameters
    ----------
    values : (n,) float64
        In order of time.
    starts : (n,) int64
        Value i is compared with the values from ``starts[i]`` to ``i − 1``.
    fewest : int
        With fewer values before, or if they are all the same, the z-score is 0.

    Returns
    -------
    (n,) float64
    """
    if not values.size:
        return values
    centred = values - values[0]  # keeps the running sums small
    sums = np.concatenate([[0.0], np.cumsum(centred)])
    squares = np.concatenate([[0.0], np.cumsum(centred**2)])
    ends = np.arange(len(values))
    count = ends - starts
    mean = (sums[ends] - sums[starts]) / np.maximum(count, 1)
    spread = squares[ends] - squares[starts] - count * mean**2
    sigma = np.sqrt(np.maximum(spread, 0.0) / np.maximum(count - 1, 1))
    usable = (count >= fewest) & (sigma > 1e-6 * np.abs(values))
    return np.where(usable, np.clip((centred - mean) / np.where(usable, sigma, 1.0), -_LIMIT, _LIMIT), 0.0)


def _last_known(values: Float64Array) -> Float64Array:
    """Return for each position the last finite value up to it, NaN before the first."""
    known = np.where(np.isfinite(values), np.arange(len(values)), -1)
    last = np.maximum.accumulate(known)
    return np.where(last >= 0, values[last], np.nan)
