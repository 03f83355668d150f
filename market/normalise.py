"""Normalises a window of candles and undoes it, with upstream's arithmetic to the last bit.

Upstream adds 1e-5 to every standard deviation. Where prices move by less than that, as those of coins worth
small fractions of a dollar do, the constant dominates their spread: a price of 1e-8 has a p10 below zero.
Such windows are multiplied by a power of two first, which is exact in floating point, and divided afterwards.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from market.types import Float32Array, Float64Array, Int64Array

CLIP = 5.0
EPSILON = 1e-5

SMALLEST_SPREAD = 1e-4
"""Standard deviation of a price below which a window is scaled: `EPSILON` is then more than a tenth of it."""

PRICES = 4
"""The first features: open, high, low and close, which share a scale; volume and amount follow."""

# Where the spread of a feature is below this share of its values, float32 cannot resolve it.
_RESOLUTION = 2.0**-22
# Scaled values stay below 2**56, about what `market.candles.LARGEST` allows.
_LARGEST_EXPONENT = 56


@dataclass(frozen=True)
class Normalised:
    """A window scaled by its own mean and spread; values (T, 6), clipped to ±5.

    `mean` and `std`, each (6,), are those of the candles multiplied by two to the power of `exponents`, (6,),
    which are zero except for windows of small spread.
    """

    values: Float32Array
    mean: Float32Array
    std: Float32Array
    exponents: Int64Array

    def apply(self, candles: NDArray[np.floating], limit: ArrayLike = CLIP) -> Float32Array:
        """Normalise raw candles (T, 6), of this window or after it, by this window.

        Parameters
        ----------
        limit
            Magnitude at which values are clipped: one number, or numbers that broadcast to (T, 6).
        """
        return _standardised(_scaled(candles, self.exponents), self.mean, self.std, limit)

    def restore(self, values: Float32Array) -> Float32Array:
        """Return normalised candles (..., 6) in raw units."""
        raw = values * (self.std + np.float32(EPSILON)) + self.mean
        return np.ldexp(raw, -self.exponents) if self.exponents.any() else raw


def normalise(candles: NDArray[np.floating], *, upstream_scale: bool = False) -> Normalised:
    """Return (x - mean) / (std + 1e-5), clipped to ±5, per feature over the window.

    Parameters
    ----------
    candles
        (T, 6) raw candles. They are cast to float32 and laid out feature by feature first, as in
        upstream's data frame, so that NumPy sums each feature pairwise. Another layout or precision
        changes the last bits of mean and spread, and occasionally a token.
    upstream_scale
        Do not scale windows of small spread, as upstream does not; see `scale_exponents`.
    """
    exponents = np.zeros(candles.shape[1], np.int64) if upstream_scale else scale_exponents(candles)
    x = _scaled(candles, exponents)
    mean, std = np.mean(x, axis=0), np.std(x, axis=0)
    return Normalised(_standardised(x, mean, std), mean, std, exponents)


def scale_exponents(candles: NDArray[np.floating]) -> Int64Array:
    """Return the power of two, (6,), by which each feature of a window (T, 6) is multiplied.

    All are zero where the smallest standard deviation of the four prices is `SMALLEST_SPREAD` or more: such
    windows are upstream's to the bit. Otherwise one power for the four prices brings that deviation into
    [1, 2). Prices that never move are left out of it; where none moves, the largest price is brought into
    [1, 2). Amount, a product of prices, gets a power of its own by the same rule. Windows that differ by a
    power of two are therefore normalised to the same bits, and for any other factor the share of `EPSILON`
    stays below 1e-5.
    """
    exponents = np.zeros(candles.shape[1], np.int64)
    prices = np.asarray(candles[:, :PRICES], np.float64)
    if not smallest_spread(prices) < SMALLEST_SPREAD:
        return exponents
    exponents[:PRICES] = _exponent(prices)
    exponents[PRICES + 1 :] = _exponent(np.asarray(candles[:, PRICES + 1 :], np.float64))
    return exponents


def smallest_spread(prices: NDArray[np.floating]) -> float:
    """Return the smallest standard deviation of the prices (T, 4) that move; 0 where none does."""
    deviations, exponent = _deviations(np.asarray(prices, np.float64))
    return float(np.ldexp(min(deviations, default=0.0), exponent))


def _scaled(candles: NDArray[np.floating], exponents: Int64Array) -> Float32Array:
    """Return candles times powers of two, as float32 laid out feature by feature."""
    if exponents.any():
        candles = np.ldexp(np.asarray(candles, np.float64), exponents)
    return np.asfortranarray(candles, dtype=np.float32)


def _standardised(
    x: Float32Array, mean: Float32Array, std: Float32Array, limit: ArrayLike = CLIP
) -> Float32Array:
    most = np.asarray(limit, np.float32)
    return np.ascontiguousarray(np.clip((x - mean) / (std + np.float32(EPSILON)), -most, most))


def _exponent(features: Float64Array) -> int:
    """Return the power of two that brings the smallest deviation of features (T, n) to [1, 2).

    Where no feature moves, it brings the largest value there.
    """
    if not features.any():
        return 0
    deviations, largest = _deviations(features)
    smallest = largest + int(np.frexp(min(deviations))[1]) if deviations else largest
    return min(1 - smallest, _LARGEST_EXPONENT - largest)


def _deviations(features: Float64Array) -> tuple[list[float], int]:
    """Return the standard deviations of the features (T, n) that move, and an exponent.

    Each is to be multiplied by two to that exponent: they are taken of values scaled to near 1, because the
    squares of values such as 1e-200 would underflow.
    """
    exponent = int(np.frexp(np.abs(features).max(initial=0.0))[1])
    near_one = np.ldexp(features, -exponent)
    deviations, sizes = near_one.std(axis=0), np.abs(near_one).max(axis=0, initial=0.0)
    return [float(d) for d in deviations[deviations > _RESOLUTION * sizes]], exponent
