"""Computes the baseline forecast: a random walk without drift, with the volatility of the window."""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from flows.scoring.metrics import lognormal_crps, normal_cdf, normal_crps
from market.envelope import LEVELS
from market.types import Float64Array

_DEVIATIONS: Final = np.array([NormalDist().inv_cdf(level) for level in LEVELS])[:, None]


@dataclass(frozen=True)
class RandomWalk:
    """A forecast whose log price is normal around the last close.

    Attributes
    ----------
    median
        The last close.
    sigma
        (pred_len,) standard deviation of the log price: volatility of one candle times √step.
    """

    median: float
    sigma: Float64Array

    def quantiles(self) -> Float64Array:
        """Return p10, p50 and p90 of close, (3, pred_len)."""
        return np.asarray(self.median * np.exp(_DEVIATIONS * self.sigma))

    def crps(self, actual: ArrayLike) -> Float64Array:
        """Return the CRPS of (pred_len,) closes, price units."""
        return lognormal_crps(self.median, self.sigma, actual)

    def transform(self, actual: ArrayLike) -> Float64Array:
        """Return the probability integral transform of (pred_len,) closes.

        NaN where `sigma` is 0, the price then being a point, and for a close of zero or below.
        """
        closes = np.asarray(actual, dtype=np.float64)
        moves = np.log(np.where(closes > 0, closes, np.nan) / self.median)
        return normal_cdf(moves / np.where(self.sigma > 0, self.sigma, np.nan))


@dataclass(frozen=True)
class PriceWalk:
    """A forecast whose price is normal around the last close, for prices that may be zero or negative.

    Attributes
    ----------
    median
        The last close.
    sigma
        (pred_len,) standard deviation of the price: that of one candle's change times √step.
    """

    median: float
    sigma: Float64Array

    def quantiles(self) -> Float64Array:
        """Return p10, p50 and p90 of close, (3, pred_len)."""
        return np.asarray(self.median + _DEVIATIONS * self.sigma)

    def crps(self, actual: ArrayLike) -> Float64Array:
        """Return the CRPS of (pred_len,) closes, price units."""
        return normal_crps(self.median, self.sigma, actual)

    def transform(self, actual: ArrayLike) -> Float64Array:
        """Return the probability integral transform of (pred_len,) closes; NaN where `sigma` is 0."""
        moves = np.asarray(actual, dtype=np.float64) - self.median
        return normal_cdf(moves / np.where(self.sigma > 0, self.sigma, np.nan))


Walk = RandomWalk | PriceWalk


def random_walk(closes: ArrayLike, pred_len: int) -> RandomWalk:
    """Return the baseline for the candles after a window.

    The volatility is the root mean square of the window's close-to-close log returns, nights and weekends
    included; the hour of the day and the calendar are not used.

    Parameters
    ----------
    closes
        (T,) closes of the window that the model sees too, oldest first.
    pred_len
        Future candles.

    Raises
    ------
    ValueError
        Fewer than two closes, or one that is not above 0.
    """
    prices = np.asarray(closes, dtype=np.float64)
    if len(prices) < 2 or not (prices > 0).all():
        raise ValueError("a random walk of returns needs at least two closes, all above 0")
    return RandomWalk(float(prices[-1]), _spread(np.diff(np.log(prices)), pred_len))


def price_walk(closes: ArrayLike, pred_len: int) -> PriceWalk:
    """Return the baseline for the candles after a window of prices that may be zero or negative.

    As `random_walk`, with the root mean square of the close-to-close price differences.

    Raises
    ------
    ValueError
        Fewer than two closes, or one that is not finite.
    """
    prices = np.asarray(closes, dtype=np.float64)
    if len(prices) < 2 or not np.isfinite(prices).all():
        raise ValueError("a random walk of prices needs at least two closes, all finite")
    return PriceWalk(float(prices[-1]), _spread(np.diff(prices), pred_len))


def _spread(moves: Float64Array, pred_len: int) -> Float64Array:
    """Return the standard deviation after each step, (pred_len,), from the moves of the past."""
    return np.asarray(np.sqrt(np.mean(moves**2)) * np.sqrt(np.arange(1, pred_len + 1)))
