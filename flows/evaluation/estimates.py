"""Estimates figures of a back-test with intervals: block bootstrap over instants, and closed forms."""

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from market.types import Float64Array

DRAWS: Final = 1000
FEWEST_BLOCKS: Final = 8
"""From fewer blocks, or instants, a resampled interval would be far too narrow, so there is none."""

NORMAL_95: Final = 1.959964
"""The standard normal quantile of a two-sided 95 % interval."""


class Estimate(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval; NaN (null in JSON) where unknown.

    Attributes
    ----------
    n
        Observations behind the figure, such as closes.
    """

    value: float
    low: float
    high: float
    n: int


UNKNOWN: Final = Estimate(math.nan, math.nan, math.nan, 0)


def block_length(instants: int, horizon: int) -> int:
    """Return how many consecutive instants stay together in a resample.

    The cube root of their number, the rate at which the best length for a variance grows (Hall, Horowitz
    and Jing, "On blocking rules for the bootstrap with dependent data", Biometrika 82 (1995)), and no less
    than the instants within one horizon, whose forecasts share candles.
    """
    return max(round(math.cbrt(instants)), horizon, 1)


class BlockBootstrap:
    """Resamples the instants of a back-test in blocks, all symbols and all models of an instant together.

    Figures of several models therefore stay paired, and the dependence between symbols and between
    neighbouring instants is kept. Circular blocks: Politis and Romano, "A circular block-resampling procedure
    for stationary data" (1992). Intervals lie between the 2.5 % and the 97.5 % quantile of the
    resampled figure.

    Parameters
    ----------
    instants
        Number of instants, T.
    block
        Instants in a block.
    seed
        Of the resamples; the same seed gives the same intervals.
    """

    def __init__(self, instants: int, block: int, seed: int) -> None:
        self._weights: Float64Array | None = None
        if instants >= FEWEST_BLOCKS * block:
            self._weights = _weights(instants, block, np.random.default_rng(seed))

    def ratios(self, numerators: ArrayLike, denominators: ArrayLike, counts: ArrayLike) -> list[Estimate]:
        """Return the ratio of the sums of each column, with its interval.

        Parameters
        ----------
        numerators, denominators
            (T, K) sums of each instant.
        counts
            (K,) observations.

        Returns
        -------
        list of Estimate
            K estimates; unknown where the denominators sum to 0, and without an interval where there are
            fewer than `FEWEST_BLOCKS` blocks, or instants whose denominator is above 0.
        """
        above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
        values = _divided(above.sum(axis=0), below.sum(axis=0))
        lows, highs = np.full((2, len(values)), np.nan)
        known = np.isfinite(values)
        if self._weights is not None and known.any():
            drawn = _divided(self._weights @ above, self._weights @ below)
            # A draw may miss all observations of a rare case.
            lows[known], highs[known] = np.nanquantile(drawn[:, known], (0.025, 0.975), axis=0)
        few = (below > 0).sum(axis=0) < FEWEST_BLOCKS
        lows[few] = highs[few] = np.nan
        numbers = np.asarray(counts).tolist()
        return [
            Estimate(*figures)
            for figures in zip(values.tolist(), lows.tolist(), highs.tolist(), numbers, strict=True)
        ]


def _weights(instants: int, block: int, rng: np.random.Generator) -> Float64Array:
    """Return how often each instant is in each resample, (`DRAWS`, T)."""
    blocks = -(-instants // block)
    starts = rng.integers(instants, size=(DRAWS, blocks))
    drawn = ((starts[:, :, None] + np.arange(block)) % instants).reshape(DRAWS, -1)[:, :instants]
    rows = np.arange(DRAWS)[:, None] * instants
    weights = np.bincount((rows + drawn).ravel(), minlength=DRAWS * instants)
    return weights.reshape(DRAWS, instants).astype(np.float64)


def _divided(above: Float64Array, below: Float64Array) -> Float64Array:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def share(hits: int, n: int) -> Estimate:
    """Return a share with Wilson's binomial interval.

    Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    Parameters
    ----------
    hits, n
        Number of hits among n independent cases.
    """
    if n == 0:
        return UNKNOWN
    p, z2 = hits / n, NORMAL_95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    reach = NORMAL_95 / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return Estimate(p, max(centre - reach, 0.0), min(centre + reach, 1.0), n)


def mean(values: ArrayLike) -> Estimate:
    """Return the mean of independent (n,) values with a normal interval; without one for n < 2."""
    cases = np.asarray(values, np.float64)
    n = len(cases)
    if n == 0:
        return UNKNOWN
    value = float(cases.mean())
    reach = NORMAL_95 * float(cases.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(value, value - reach, value + reach, n)


def t_of_mean(values: ArrayLike) -> float:
    """Return the t statistic of the mean of independent (n,) values; NaN for n < 2 or without variation."""
    cases = np.asarray(values, np.float64)
    spread = float(cases.std(ddof=1)) if len(cases) > 1 else 0.0
    return float(cases.mean()) / spread * math.sqrt(len(cases)) if spread > 0 else math.nan
