"""Computes the baseline forecast: a random walk without drift, with the volatility of the window."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

from market.envelope import LEVELS
from market.types import Float64Array


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
        deviations = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
        return np.asarray(self.median * np.exp(deviations[:, None] * self.sigma))


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
    volatility = np.sqrt(np.mean(np.diff(np.log(prices)) ** 2))
    return RandomWalk(float(prices[-1]), volatility * np.sqrt(np.arange(1, pred_len + 1)))
